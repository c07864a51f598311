/**
 * Defects of etcd that affect elections, the releases that have them, and the ends of release lines. The sources are etcd's
 * changelogs, issues and advisories, as of November 2026. A test compares the list with docs/operating-etcd.md.
 */

export interface Affected {
  /** A release line, such as `3.5`. */
  readonly line: string;
  readonly from: number;
  /** The first patch release without the defect; undefined if no release of this line fixes it. */
  readonly fixed: number | undefined;
}

export interface Defect {
  readonly id: string;
  readonly url: string;
  readonly affected: readonly Affected[];
  readonly symptom: string;
}

const issue = (number: number): Pick<Defect, 'id' | 'url'> => ({
  id: `#${number}`,
  url: `https://github.com/etcd-io/etcd/issues/${number}`,
});

const advisory = (id: string, ghsa: string): Pick<Defect, 'id' | 'url'> => ({
  id,
  url: `https://github.com/etcd-io/etcd/security/advisories/${ghsa}`,
});

/** All releases of 3.4 and 3.5 before the given patch releases. */
const until = (in34: number, in35: number): Affected[] => [
  { line: '3.4', from: 0, fixed: in34 },
  { line: '3.5', from: 0, fixed: in35 },
];

export const DEFECTS: readonly Defect[] = [
  {
    ...issue(15247),
    affected: until(31, 13),
    symptom:
      'after a freeze, an old leader of etcd revokes leases that were renewed: a leader is evicted for no reason',
  },
  {
    ...issue(14758),
    affected: [...until(38, 23), { line: '3.6', from: 0, fixed: 5 }],
    symptom: 'a renewal succeeds although the lease is revoked: the key is gone, the keep-alives go on',
  },
  {
    ...issue(20418),
    affected: [
      { line: '3.4', from: 20, fixed: 42 },
      { line: '3.5', from: 0, fixed: 28 },
      { line: '3.6', from: 0, fixed: 9 },
    ],
    symptom:
      'a linearizable read can be stale after a pause: leader() names an old leader; rarely, two replicas lead',
  },
  {
    ...issue(17529),
    affected: until(31, 13),
    symptom:
      'watch events are lost under load and compaction: a candidate misses its turn, or a leader misses its eviction',
  },
  {
    ...issue(18089),
    affected: until(34, 16),
    symptom: 'a compaction drops a delete: a candidate waits for a leader that is gone',
  },
  {
    ...issue(19179),
    affected: until(36, 18),
    symptom:
      'a watch that starts at the compacted revision misses a delete: a candidate waits for a leader that is gone',
  },
  {
    ...issue(20221),
    affected: [...until(38, 22), { line: '3.6', from: 0, fixed: 2 }],
    symptom: 'a watch from a future revision gets old events',
  },
  {
    ...issue(15271),
    affected: until(25, 8),
    symptom: 'a watch goes back in time when a member catches up by snapshot: it gets old events',
  },
  {
    ...issue(15220),
    affected: until(25, 8),
    symptom: 'a progress report overtakes events: a watch seems up to date, but is not',
  },
  {
    ...issue(17507),
    affected: [
      { line: '3.4', from: 25, fixed: 31 },
      { line: '3.5', from: 8, fixed: 13 },
    ],
    symptom: 'a watch without events gets no progress answers: healthy watches look silent',
  },
  {
    ...issue(17780),
    affected: until(32, 14),
    symptom: 'the revision goes back after a crash during a compaction: fencing tokens can repeat',
  },
  {
    ...issue(13766),
    affected: [{ line: '3.5', from: 0, fixed: 3 }],
    symptom: 'members hold different data after a crash: anything can happen',
  },
  {
    id: '#20659',
    url: 'https://github.com/etcd-io/etcd/pull/20659',
    affected: [...until(38, 23), { line: '3.6', from: 0, fixed: 5 }],
    symptom: 'defragmentation while a member receives a snapshot can corrupt its data',
  },
  {
    id: '#13932',
    url: 'https://github.com/etcd-io/etcd/pull/13932',
    affected: until(20, 3),
    symptom: 'a renewal is refused while its grant is still being applied: a lease seems lost',
  },
  {
    id: '#13508',
    url: 'https://github.com/etcd-io/etcd/pull/13508',
    affected: until(20, 2),
    symptom: "a change of etcd's own leader restarts the TTL, even with checkpoints on (TTL above 5 minutes)",
  },
  {
    id: '#14995',
    url: 'https://github.com/etcd-io/etcd/pull/14995',
    affected: [
      { line: '3.4', from: 22, fixed: 25 },
      { line: '3.5', from: 6, fixed: 7 },
    ],
    symptom: 'with authentication: a watch is cancelled because of an old authentication token',
  },
  {
    ...advisory('CVE-2026-33413', 'GHSA-q8m4-xhhv-38mg'),
    affected: [...until(42, 28), { line: '3.6', from: 0, fixed: 9 }],
    symptom: 'security: several calls bypass authorization',
  },
  {
    ...advisory('CVE-2026-33343', 'GHSA-rfx7-8w68-q57q'),
    affected: [...until(42, 28), { line: '3.6', from: 0, fixed: 9 }],
    symptom: 'security: nested transactions bypass permissions',
  },
  {
    ...advisory('GHSA-xg4h-6gfc-h4m8', 'GHSA-xg4h-6gfc-h4m8'),
    affected: [
      { line: '3.4', from: 0, fixed: undefined },
      { line: '3.5', from: 0, fixed: 33 },
      { line: '3.6', from: 0, fixed: 14 },
      { line: '3.7', from: 0, fixed: 1 },
    ],
    symptom: 'security: with permission on one key, a watch also receives all keys that sort after it',
  },
  {
    ...issue(22214),
    affected: [
      { line: '3.4', from: 20, fixed: undefined },
      { line: '3.5', from: 0, fixed: undefined },
      { line: '3.6', from: 0, fixed: undefined },
      { line: '3.7', from: 0, fixed: undefined },
    ],
    symptom: 'reads hang while the log output is blocked (a full pipe); the member looks healthy',
  },
];

export interface ReleaseLine {
  readonly line: string;
  /** The last release, if the line has ended. */
  readonly last?: string;
  /** The month in which the line ended, or will end as announced. */
  readonly end?: string;
}

/** The changelog of 3.4 announces its end. The release of 3.7.0, in July 2026, prolonged the support of 3.5 by a year. */
export const RELEASE_LINES: readonly ReleaseLine[] = [
  { line: '3.4', last: '3.4.45', end: 'June 2026' },
  { line: '3.5', end: 'July 2027' },
  { line: '3.6' },
  { line: '3.7' },
];

/** Minor versions of the first and the last release line that this library is tested with. */
const FIRST_MINOR = 4;
const LAST_MINOR = 7;

interface Version {
  readonly line: string;
  readonly minor: number;
  readonly patch: number;
}

function parsed(version: string): Version | undefined {
  const match = /^3\.(\d+)\.(\d+)/.exec(version);
  return match === null
    ? undefined
    : { line: `3.${match[1]}`, minor: Number(match[1]), patch: Number(match[2]) };
}

export interface Known {
  readonly defect: Defect;
  /** The first release of the same line without the defect, if there is one. */
  readonly fixedIn: string | undefined;
}

export function defectsOf(version: string): Known[] {
  const at = parsed(version);
  if (at === undefined) return [];
  return DEFECTS.flatMap((defect) =>
    defect.affected
      .filter(
        ({ line, from, fixed }) => line === at.line && at.patch >= from && at.patch < (fixed ?? Infinity),
      )
      .map(({ line, fixed }) => ({ defect, fixedIn: fixed === undefined ? undefined : `${line}.${fixed}` })),
  );
}

/**
 * The release to upgrade to within the same line. It is the lowest release that has every fix of the line for the defects of
 * this version. Undefined if the line fixes none of these defects.
 */
export function upgradeWithinLine(version: string): string | undefined {
  const at = parsed(version);
  const patches = defectsOf(version).flatMap(({ fixedIn }) =>
    fixedIn === undefined ? [] : [parsed(fixedIn)!.patch],
  );
  return at === undefined || patches.length === 0 ? undefined : `${at.line}.${Math.max(...patches)}`;
}

export type Support =
  | { readonly state: 'supported' }
  | { readonly state: 'ended'; readonly line: ReleaseLine }
  | { readonly state: 'too-old' }
  | { readonly state: 'newer' };

export function supportOf(version: string): Support {
  const at = parsed(version);
  if (at === undefined || at.minor < FIRST_MINOR) return { state: 'too-old' };
  if (at.minor > LAST_MINOR) return { state: 'newer' };
  const line = RELEASE_LINES.find((one) => one.line === at.line);
  return line?.last === undefined ? { state: 'supported' } : { state: 'ended', line };
}
