import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { Profile } from 'pprof-format';
import { describe, expect, it } from 'vitest';
import { foldCampaigns, parseCallSite } from '../../../src/diagnostics/formats/campaigns.ts';
import { type CpuProfile, parseCpuProfile } from '../../../src/diagnostics/formats/cpu-profile.ts';
import { fold } from '../../../src/diagnostics/formats/fold.ts';
import { totalOf } from '../../../src/diagnostics/formats/folded.ts';
import { encodePprof } from '../../../src/diagnostics/formats/pprof.ts';
import { describeSuspect, suspects } from '../../../src/diagnostics/formats/suspects.ts';
import { renderTop } from '../../../src/diagnostics/formats/top.ts';
import { anyProfile, node, sampleProfile } from '../../support/sample-profile.ts';

describe('fold', () => {
  it('weighs a stack by the time until the next sample, and leaves out sleep', () => {
    const folded = fold(sampleProfile());
    expect(
      folded.stacks.map(({ frames, values }) => [frames.map(({ name }) => name).join(' < '), ...values]),
    ).toEqual([
      ['spin < main', 40, 40_000_000],
      ['call < spin < main', 30, 30_000_000],
      ['write < call < spin < main', 20, 20_000_000],
      ['(garbage collector)', 5, 5_000_000],
    ]);
    expect(folded.durationMs).toBe(100);
  });

  it('names the owner of a frame, and its hottest line', () => {
    const [spin, , write, gc] = fold(sampleProfile()).stacks.map(({ frames }) => frames[0]);
    expect(spin).toEqual({ name: 'spin', file: '/srv/app one/main.mjs', start: 10, line: 12, owner: 'app' });
    expect(write?.owner).toBe('node');
    expect(gc?.owner).toBe('vm');
    expect(fold(sampleProfile()).stacks[1]?.frames[0]?.owner).toBe('dep');
  });

  it('never weighs more than the duration of the profile', () => {
    fc.assert(
      fc.property(anyProfile, (profile) => {
        expect(totalOf(fold(profile))).toBeLessThanOrEqual((profile.endTime - profile.startTime) * 1000);
      }),
    );
  });

  it('ends on a profile with circular callers', () => {
    const knot: CpuProfile = {
      nodes: [node(1, 'a@/a.js:1', [2]), node(2, 'b@/b.js:1', [1])],
      startTime: 0,
      endTime: 10,
      samples: [1],
      timeDeltas: [0],
    };
    expect(fold(knot).stacks[0]?.frames).toHaveLength(2);
  });

  it('ends on a profile whose root calls itself', () => {
    const loop = { startTime: 0, endTime: 10, samples: [1], timeDeltas: [0] };
    const folded = fold({ ...loop, nodes: [node(1, '(root)@:0', [1])] });
    expect(folded.stacks.flatMap(({ frames }) => frames)).toEqual([]);
  });

  it('refuses an invalid profile', () => {
    const callFrame = { functionName: 'a', url: 'b', lineNumber: 1 };
    const node = { id: 1, callFrame, positionTicks: [null] };
    const noTicks = JSON.stringify({ nodes: [node], startTime: 0, endTime: 0 });
    for (const text of ['', '[]', '{"nodes":[]}', '{"nodes":[{}],"startTime":0,"endTime":0}', noTicks]) {
      expect(() => parseCpuProfile(text), text).toThrow(/not a .cpuprofile/);
    }
    expect(parseCpuProfile(JSON.stringify(sampleProfile()))).toEqual(sampleProfile());
  });
});

describe('pprof', () => {
  it('gives the same stacks in an independent decoder', () => {
    fc.assert(
      fc.property(anyProfile, (profile) => {
        const folded = fold(profile, 1_700_000_000_000);
        expect(stacksOf(decode(encodePprof(folded)))).toEqual(
          folded.stacks.map(({ frames, values }) => [
            frames.map(({ name, file, line }) => `${name} ${file} ${line}`),
            values,
          ]),
        );
      }),
    );
  });

  it('has its time, its duration and its comment', () => {
    const profile = decode(encodePprof(fold(sampleProfile(), 1_700_000_000_123), 'why'));
    expect(BigInt(profile.timeNanos)).toBe(1_700_000_000_123_000_000n);
    expect(Number(profile.durationNanos)).toBe(100e6);
    expect(profile.comment.map((index) => profile.stringTable.strings[Number(index)])).toEqual(['why']);
    const types = profile.sampleType.map(({ type, unit }) =>
      [type, unit].map((i) => profile.stringTable.strings[Number(i)]),
    );
    expect(types).toEqual([
      ['samples', 'count'],
      ['cpu', 'nanoseconds'],
    ]);
  });
});

describe('top', () => {
  it('has the layout of go tool pprof', () => {
    expect(renderTop(fold(sampleProfile(), 1_700_000_000_000), 3)).toMatchInlineSnapshot(`
      "Type: cpu
      Time: 2023-11-14T22:13:20.000Z
      Duration: 100ms, Total samples = 95ms (95.00%)
      Showing nodes accounting for 90ms, 94.74% of 95ms total
      Showing top 3 nodes out of 5
            flat  flat%   sum%        cum   cum%
            40ms 42.11% 42.11%       90ms 94.74%  spin /srv/app one/main.mjs:10
            30ms 31.58% 73.68%       50ms 52.63%  call /srv/node_modules/dep/index.js:5
            20ms 21.05% 94.74%       20ms 21.05%  write node:net:900
      "
    `);
  });

  it('prints totals of 0 for an empty profile', () => {
    expect(renderTop({ types: [], stacks: [], durationMs: 0, takenAt: 0 })).toContain('0% of 0 total');
  });
});

describe('suspects', () => {
  it('blames the innermost function of the application, then its callers; not packages or Node', () => {
    expect(suspects(fold(sampleProfile())).map(describeSuspect)).toEqual([
      'spin (/srv/app one/main.mjs:10, hottest line 12) 94.7 %',
      'main (/srv/app one/main.mjs:3) 94.7 % with what it calls',
    ]);
  });

  it('names the function with the loop, although its callees use all the time', () => {
    const loop: CpuProfile = {
      nodes: [
        node(1, '(root)', [2]),
        node(2, '@file:///srv/main.mjs:1', [3]),
        node(3, 'loop@file:///srv/main.mjs:10', [4], 11),
        node(4, 'campaign@file:///srv/main.mjs:20', [], 21),
      ],
      startTime: 0,
      endTime: 100,
      samples: [4, 4, 4, 4, 4],
      timeDeltas: [0, 20, 20, 20, 20],
    };
    const named = suspects(fold(loop)).map((each) => `${each.function}:${each.line} ${each.cumPercent}`);
    expect(named).toEqual(['campaign:20 100', 'loop:10 100', '(anonymous main.mjs:1):1 100']);
  });

  it('blames no function for the work of V8 alone', () => {
    const gc: CpuProfile = {
      nodes: [node(1, '(garbage collector)')],
      startTime: 0,
      endTime: 9,
      samples: [1],
      timeDeltas: [0],
    };
    expect(suspects(fold(gc))).toEqual([]);
  });

  it('names at most as many as requested, with shares between 0 and 100', () => {
    fc.assert(
      fc.property(anyProfile, fc.integer({ min: 1, max: 5 }), (profile, atMost) => {
        const named = suspects(fold(profile), atMost);
        expect(named.length).toBeLessThanOrEqual(atMost);
        for (const { percent } of named) expect(percent >= 0 && percent <= 100).toBe(true);
      }),
    );
  });
});

describe('campaigns', () => {
  it('reads every form of a call site', () => {
    const read = (line: string): string => {
      const { name, file, line: at } = parseCallSite(line);
      return `${name} | ${file} | ${at}`;
    };
    expect(read('    at newLeasesLock (file:///srv/sync.mjs:7:5)')).toBe('newLeasesLock | /srv/sync.mjs | 7');
    expect(read('at async retryLoop (/srv/sync.mjs:12:3)')).toBe('retryLoop | /srv/sync.mjs | 12');
    expect(read('at async file:///srv/main.mjs:3:1')).toBe('(anonymous main.mjs:3) | /srv/main.mjs | 3');
    expect(read('at Object.<anonymous> (node:internal/x:1:2)')).toBe(
      'Object.<anonymous> | node:internal/x | 1',
    );
    expect(read('newLeasesLock')).toBe('newLeasesLock |  | 0');
    expect(read('')).toBe('(anonymous) |  | 0');
  });

  it('weighs call sites by rounds and by hold time', () => {
    const folded = foldCampaigns([
      {
        key: 'k',
        election: 'sync-master',
        purpose: 'campaign',
        rounds: 7,
        heldMs: 1500,
        holds: 3,
        callSites: [
          {
            stack: ['at newLeasesLock (/srv/s.mjs:7:5)', 'at async retry (/srv/s.mjs:12:3)'],
            rounds: 7,
            heldMs: 1500,
          },
        ],
      },
    ]);
    expect(stacksOf(decode(encodePprof(folded)))).toEqual([
      [
        ['newLeasesLock /srv/s.mjs 7', 'retry /srv/s.mjs 12', 'election sync-master  0'],
        [7, 1_500_000_000],
      ],
    ]);
    expect(renderTop(folded)).toContain('newLeasesLock /srv/s.mjs:7');
  });
});

const decode = (bytes: Uint8Array): Profile => Profile.decode(gunzipSync(bytes));

function stacksOf(profile: Profile): [string[], number[]][] {
  const text = (index: number | bigint): string => profile.stringTable.strings[Number(index)] ?? '?';
  const functions = new Map(profile.function.map((each) => [Number(each.id), each]));
  const locations = new Map(profile.location.map((each) => [Number(each.id), each]));
  return profile.sample.map(({ locationId, value }) => [
    locationId.map((id) => {
      const [at] = locations.get(Number(id))?.line ?? [];
      const named = functions.get(Number(at?.functionId));
      return named === undefined ? '?' : `${text(named.name)} ${text(named.filename)} ${Number(at?.line)}`;
    }),
    value.map(Number),
  ]);
}
