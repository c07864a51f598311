import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  defaultDirectory,
  rewriteReport,
  surplus,
  writeEvidence,
} from '../../../src/diagnostics/evidence/evidence.ts';
import { type RunawayReport, headline, logLine } from '../../../src/diagnostics/evidence/report.ts';
import { sampleProfile } from '../../support/sample-profile.ts';

const report = (second: number, more: Partial<RunawayReport> = {}): RunawayReport => ({
  verdict: 'starved',
  at: new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString(),
  pid: 42,
  forMs: 1_234,
  cpu: 0.98,
  suspects: [
    {
      function: 'spin',
      file: '/srv/main.mjs',
      line: 10,
      hotLine: 12,
      percent: 94.7,
      cumPercent: 94.7,
      owner: 'app',
    },
  ],
  guards: [],
  leading: [],
  evidence: 'profile',
  files: {},
  notes: [],
  ended: false,
  ...more,
});
const os = vi.hoisted(() => ({ hasName: true }));
vi.mock('node:os', async (original) => {
  const real = await original<typeof import('node:os')>();
  const userInfo = (): unknown => {
    if (os.hasName) return real.userInfo();
    throw new Error('uv_os_get_passwd returned ENOENT (no such file or directory)');
  };
  return { ...real, userInfo };
});

it('the default folder works for a user without a name, as in a container', () => {
  os.hasName = false;
  try {
    expect(defaultDirectory()).toMatch(/etcd-election-runaways-\d+$/);
  } finally {
    os.hasName = true;
  }
});

const fs = vi.hoisted(() => ({ isFull: false }));
vi.mock('node:fs', async (original) => {
  const real = await original<typeof import('node:fs')>();
  const writeFileSync: typeof real.writeFileSync = (path, data, options) => {
    real.writeFileSync(path, fs.isFull ? 'a part' : data, options);
    if (fs.isFull) throw new Error('ENOSPC: no space left on device, write');
  };
  return { ...real, writeFileSync };
});

const recording = { profile: sampleProfile(), takenAt: 0 };

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'evidence-'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(home, { recursive: true, force: true });
});

describe('the evidence folder', () => {
  const limits = { keep: 2, maxBytes: 1_000_000 };

  it('keeps the newest reports, and removes only its own files', () => {
    mkdirSync(join(home, 'somebody-elses'));
    for (const second of [1, 2, 3]) writeEvidence(report(second), recording, { ...limits, directory: home });
    expect(readdirSync(home).sort()).toEqual([
      '2026-01-01T00-00-02.000Z-42-starved',
      '2026-01-01T00-00-03.000Z-42-starved',
      'somebody-elses',
    ]);
  });

  it('removes notices before runaways', () => {
    const write = (second: number, more: Partial<RunawayReport>) =>
      writeEvidence(report(second, more), recording, { ...limits, directory: home });
    write(1, {});
    write(2, { verdict: 'blocked' });
    write(3, { verdict: 'saturated' });
    expect(readdirSync(home)).toEqual([
      '2026-01-01T00-00-01.000Z-42-starved',
      '2026-01-01T00-00-03.000Z-42-saturated',
    ]);
  });

  it('on a full disk keeps all earlier reports, and leaves no incomplete one', () => {
    const write = (second: number) =>
      writeEvidence(report(second), recording, { ...limits, directory: home });
    write(1);
    write(2);
    fs.isFull = true;
    try {
      for (const second of [3, 4, 5]) expect(() => write(second)).toThrow('ENOSPC');
    } finally {
      fs.isFull = false;
    }
    expect(readdirSync(home)).toEqual([
      '2026-01-01T00-00-01.000Z-42-starved',
      '2026-01-01T00-00-02.000Z-42-starved',
    ]);
    write(6);
    expect(readdirSync(home)).toEqual([
      '2026-01-01T00-00-02.000Z-42-starved',
      '2026-01-01T00-00-06.000Z-42-starved',
    ]);
  });

  it('keeps the old file of a report if the disk is full when a note is added', () => {
    const written = writeEvidence(report(1), recording, { ...limits, directory: home });
    const notes = (): unknown =>
      (JSON.parse(readFileSync(written.files.report!, 'utf8')) as RunawayReport).notes;
    const files = readdirSync(written.files.directory!);
    fs.isFull = true;
    try {
      rewriteReport({ ...written, notes: ['lost'] });
    } finally {
      fs.isFull = false;
    }
    expect(notes()).toEqual([]);
    rewriteReport({ ...written, notes: ['added'] });
    expect(notes()).toEqual(['added']);
    expect(readdirSync(written.files.directory!)).toEqual(files);
    rmSync(written.files.directory!, { recursive: true });
    rewriteReport(written);
    expect(readdirSync(home)).toEqual([]);
  });

  it('refuses a report that is larger than the limit of the folder', () => {
    expect(() => writeEvidence(report(1), recording, { directory: home, keep: 2, maxBytes: 100 })).toThrow(
      /more than the 100 allowed/,
    );
    expect(readdirSync(home)).toEqual([]);
  });

  it('counts bytes, not characters: names of functions may be outside ASCII', () => {
    const { nodes, ...rest } = sampleProfile();
    const renamed = nodes.map((node) => ({
      ...node,
      callFrame: { ...node.callFrame, functionName: '\u03a8'.repeat(100) },
    }));
    const greek = { profile: { ...rest, nodes: renamed }, takenAt: 0 };
    const write = (name: string, maxBytes: number) =>
      writeEvidence(report(1), greek, { directory: join(home, name), keep: 2, maxBytes });
    const { directory, ...files } = write('a', 1e9).files; // the report itself is one of them
    const bytes = Object.values(files).reduce((sum, file) => sum + statSync(file).size, 0);
    expect(() => write('b', bytes - 1)).toThrow(`the evidence takes ${bytes} bytes`);
    expect(directory).toContain(home);
  });

  it('does not use a folder in the temporary directory that another user may have made', () => {
    vi.stubEnv('TMPDIR', home);
    const trap = join(home, 'trap');
    mkdirSync(trap);
    symlinkSync(trap, defaultDirectory());
    expect(() => writeEvidence(report(1), recording, { ...limits, directory: undefined })).toThrow(
      /not a folder of this user alone/,
    );
    rmSync(defaultDirectory());
    mkdirSync(defaultDirectory());
    chmodSync(defaultDirectory(), 0o777);
    expect(() => writeEvidence(report(1), recording, { ...limits, directory: undefined })).toThrow(
      /not a folder of this user alone/,
    );
    chmodSync(defaultDirectory(), 0o700);
    expect(
      existsSync(
        String(writeEvidence(report(1), recording, { ...limits, directory: undefined }).files.report),
      ),
    ).toBe(true);
  });

  it('never exceeds its limit, and always keeps the newest', () => {
    const folders = fc.uniqueArray(fc.record({ name: fc.string(), bytes: fc.nat(100) }), {
      selector: ({ name }) => name,
    });
    fc.assert(
      fc.property(folders, fc.nat(5), fc.nat(200), (all, keep, maxBytes) => {
        const removed = new Set(surplus(all, keep, maxBytes));
        const kept = all.filter(({ name }) => !removed.has(name));
        expect(kept.length).toBeLessThanOrEqual(keep);
        expect(kept.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(maxBytes);
        for (const { name } of kept) for (const gone of removed) expect(name > gone).toBe(true);
      }),
    );
  });
});

describe('the log line', () => {
  it('says what happened, who did it, where, and what to read', () => {
    expect(headline(report(1, { files: { directory: '/tmp/x' } }))).toBe(
      'runaway: the event loop has not turned for 1.2 s, 98 % CPU; top: spin (/srv/main.mjs:10, hottest line 12) 94.7 %; evidence in /tmp/x',
    );
    const guard = {
      key: 'k',
      election: 'sync-master',
      purpose: 'campaign' as const,
      rounds: 9,
      holds: 4,
      heldMs: 1,
      callSites: [
        { stack: ['startService (/s.mjs:2:3)'], rounds: 1, heldMs: 0 },
        { stack: ['newLeasesLock (/s.mjs:7:5)'], rounds: 8, heldMs: 1 },
      ],
    };
    const of = (change: object): string =>
      headline(
        report(1, { verdict: 'rounds', suspects: [], guards: [{ ...guard, ...change }], notes: ['a note'] }),
      );
    expect(of({})).toBe(
      'runaway held back by the loop guard; election "sync-master": 9 rounds, 8 of them called from newLeasesLock (/s.mjs:7:5); a note',
    );
    expect(of({ rounds: 8, callSites: guard.callSites.slice(1) })).toBe(
      'runaway held back by the loop guard; election "sync-master": 8 rounds, called from newLeasesLock (/s.mjs:7:5); a note',
    );
    expect(of({ callSites: [] })).toBe(
      'runaway held back by the loop guard; election "sync-master": 9 rounds; a note',
    );
  });

  it.each<[RunawayReport['verdict'], RegExp, number]>([
    ['starved', /runaway: the event loop has not turned for 1\.2 s/, 50],
    ['hot', /runaway: the event loop has kept itself busy without rest for 1\.2 s/, 50],
    ['rounds', /runaway held back by the loop guard/, 50],
    ['blocked', /^(?!.*runaway).*blocked: the event loop did not turn for 1\.2 s.*it turns again/, 40],
    ['saturated', /^(?!.*runaway).*saturated: the event loop has had no rest for 1\.2 s/, 40],
  ])('for %s has its own text and level', (verdict, says, level) => {
    expect(logLine(report(1, { verdict }), 'text')).toMatch(says);
    expect(JSON.parse(logLine(report(1, { verdict }), 'json'))).toMatchObject({ level, verdict });
  });

  it('is one line, as text and in pino', () => {
    expect(logLine(report(1), 'text')).toMatch(/^2026-01-01T00:00:01.000Z \[etcd-election\] runaway: .*\n$/);
    const line = logLine(report(1, { notes: ['two\nlines'] }), 'json');
    expect(JSON.parse(line)).toMatchObject({
      level: 50,
      verdict: 'starved',
      event: 'runaway',
      msg: expect.stringContaining('spin') as string,
    });
    expect(line.trimEnd()).not.toContain('\n');
    expect(logLine(report(1, { notes: ['two\nlines'] }), 'text').trimEnd()).not.toContain('\n');
  });
});
