/** Who could lead, and when: the checker does not expect a leader while nobody could. */
import { expect, test } from 'vitest';
import type { Fact } from './inside/host.ts';
import { nobodyStands, stands } from './check/stands.ts';

type Line = readonly [process: string, atMs: number, fact: Fact];

const [campaigns, resigns]: Fact[] = [{ type: 'stands' }, { type: 'resigns' }];
const ended = (token: string): Fact => ({ type: 'ended', token, because: 'stepped-down' });
const stopped = (token: string): Fact => ({ type: 'stopped-late', token });

const recorded = (
  lines: readonly Line[],
  slow: readonly string[] = [],
  kills: readonly { process: string; atMs: number }[] = [],
) => ({
  processes: [{ name: 'A' }, { name: 'B' }],
  record: { told: lines.map(([process, atMs, fact]) => ({ process, atMs, fact })) },
  kills,
  slowToStop: new Set(slow),
});

const judged = (...args: Parameters<typeof recorded>) => nobodyStands(stands(recorded(...args)), []);

test('a process stands from its call of campaign() until it resigns', () => {
  const lines: Line[] = [
    ['A', 0, campaigns!],
    ['A', 10, resigns!],
    ['A', 30, campaigns!],
  ];
  expect(judged(lines)).toEqual([{ fromMs: 10, toMs: 30 }]);
});

test('somebody stands as long as one process does', () => {
  const lines: Line[] = [
    ['A', 0, campaigns!],
    ['B', 5, campaigns!],
    ['A', 10, resigns!],
    ['B', 40, resigns!],
  ];
  expect(judged(lines)).toEqual([{ fromMs: 40, toMs: Number.POSITIVE_INFINITY }]);
});

test('a process whose work stops late does not stand until then; one that stops in time does', () => {
  const lines: Line[] = [
    ['A', 0, campaigns!],
    ['A', 10, ended('3')],
    ['A', 30, stopped('3')],
  ];
  expect(judged(lines, ['A'])).toEqual([{ fromMs: 10, toMs: 30 }]);
  expect(judged(lines)).toEqual([]);
});

test('work that failed has stopped before its term ended', () => {
  const lines: Line[] = [
    ['A', 0, campaigns!],
    ['A', 10, { type: 'still-working', token: '3' }],
    ['A', 11, ended('3')],
  ];
  expect(judged(lines, ['A'])).toEqual([]);
});

test('a killed process stands again when it has started again', () => {
  const lines: Line[] = [
    ['A', 0, campaigns!],
    ['A', 10, ended('3')],
    ['A', 50, campaigns!],
  ];
  expect(judged(lines, ['A'], [{ process: 'A', atMs: 20 }])).toEqual([{ fromMs: 10, toMs: 50 }]);
});

test('a process that a fault hits need not lead meanwhile, if nobody else stands', () => {
  const lines: Line[] = [['A', 0, campaigns!]];
  const both: Line[] = [...lines, ['B', 0, campaigns!]];
  const cut = {
    kind: 'cut',
    what: 'cut',
    fromMs: 20,
    toMs: 40,
    touchesEtcd: false,
    isOutage: false,
    hits: 'A',
  };
  expect(nobodyStands(stands(recorded(lines)), [cut])).toEqual([{ fromMs: 20, toMs: 40 }]);
  expect(nobodyStands(stands(recorded(both)), [cut])).toEqual([]);
});

test('a process need not lead while its guard holds it, for a minute after its loop', () => {
  const lines: Line[] = [['A', 0, campaigns!]];
  const loop = { kind: 'run-away of a sound etcd', what: 'loop', fromMs: 20, toMs: 40, hits: 'A' };
  const fault = { ...loop, touchesEtcd: false, isOutage: false };
  expect(nobodyStands(stands(recorded(lines)), [fault])).toEqual([{ fromMs: 20, toMs: 60_040 }]);
});
