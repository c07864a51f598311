import fc from 'fast-check';
import type { CpuProfile, ProfileNode } from '../../src/diagnostics/formats/cpu-profile.ts';

/** A function in the notation of a sample profile: `name@file:line`; V8's own have no file. */
export const node = (id: number, what: string, children: number[] = [], hotLine?: number): ProfileNode => {
  const [, functionName = what, url = '', line = '0'] = /^(.*?)(?:@(.*):(\d+))?$/.exec(what) ?? [];
  return {
    id,
    callFrame: { functionName, url, lineNumber: Number(line) - 1 },
    children,
    ...(hotLine === undefined ? {} : { positionTicks: [{ line: hotLine, ticks: 1 }] }),
  };
};

/**
 * 100 samples at 1 ms: `spin` (40, itself), which calls a package (30), which calls Node (20); the garbage
 * collector (5); idle (5).
 */
export const sampleProfile = (): CpuProfile => {
  const samples = [
    ...Array<number>(40).fill(3),
    ...Array<number>(30).fill(4),
    ...Array<number>(20).fill(5),
    ...Array<number>(5).fill(6),
    ...Array<number>(5).fill(7),
  ];
  return {
    nodes: [
      node(1, '(root)', [2, 6, 7]),
      node(2, 'main@file:///srv/app%20one/main.mjs:3', [3]),
      node(3, 'spin@file:///srv/app%20one/main.mjs:10', [4], 12),
      node(4, 'call@file:///srv/node_modules/dep/index.js:5', [5], 6),
      node(5, 'write@node:net:900'),
      node(6, '(garbage collector)'),
      node(7, '(idle)'),
    ],
    startTime: 1_000_000,
    endTime: 1_100_000,
    samples,
    timeDeltas: [0, ...Array<number>(99).fill(1000)],
  };
};

const names = fc.oneof(
  fc.string(),
  fc.constantFrom('', '(idle)', '<script>alert(1)</script>', '"\'&', '\u001b[2J', ']]>'),
);

/** Any tree of functions with hostile names, and samples anywhere in it, some with invalid nodes. */
export const anyProfile: fc.Arbitrary<CpuProfile> = fc
  .array(fc.record({ name: names, url: names, line: fc.integer({ min: -1, max: 9999 }), parent: fc.nat() }), {
    minLength: 1,
    maxLength: 40,
  })
  .chain((functions) =>
    fc.record({
      functions: fc.constant(functions),
      samples: fc.array(
        fc.tuple(fc.integer({ min: 1, max: functions.length + 2 }), fc.integer({ min: -50, max: 5000 })),
      ),
    }),
  )
  .map(({ functions, samples }) => ({
    nodes: [
      {
        id: 1,
        callFrame: { functionName: '(root)', url: '', lineNumber: -1 },
        children: childrenOf(functions, 0),
      },
      ...functions.map(({ name, url, line }, index) => ({
        id: index + 2,
        callFrame: { functionName: name, url, lineNumber: line },
        children: childrenOf(functions, index + 1),
      })),
    ],
    startTime: 0,
    endTime: samples.reduce((sum, [, delta]) => sum + Math.max(0, delta), 1),
    samples: samples.map(([id]) => id),
    timeDeltas: samples.map(([, delta]) => delta),
  }));

/** Function i (from 1) is a child of an earlier one, so that the tree has no cycle. */
const childrenOf = (functions: readonly { parent: number }[], of: number): number[] =>
  functions.flatMap(({ parent }, index) => (parent % (index + 1) === of ? [index + 2] : []));
