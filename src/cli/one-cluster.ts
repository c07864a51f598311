/**
 * Chooses the endpoints of one etcd cluster. A command that mixed two clusters would show, or end, the wrong term. The rules
 * are those of the library.
 */
import { voteOf } from '../core/cluster-vote.ts';
import { afterTurn } from '../util/clock.ts';
import { failureOf, plain } from './plain-error.ts';

/** How long other endpoints may take after a majority has named one cluster, in milliseconds. They cannot change the vote. */
const AFTER_MAJORITY_MS = 500;

/** How long silent endpoints may take after another one has answered, in milliseconds. */
const AFTER_OTHER_MS = 2_000;

export interface Member {
  readonly endpoint: string;
  /** In decimal. */
  readonly clusterId: string;
}

/** What an endpoint says of its cluster. A proxy may leave the ID out. */
export type Answer = { readonly clusterId: string | undefined } | { readonly error: unknown };

export interface Choice {
  /** The endpoints to use: those of one cluster; all, if no endpoint names its cluster. */
  readonly ours: readonly string[];
  readonly clusterId: string | undefined;
  readonly foreign: readonly Member[];
}

/**
 * Asks one endpoint for its cluster ID, until the signal aborts. Calls `onAlive` if the endpoint has answered, but not yet
 * with its cluster.
 */
type Ask = (endpoint: string, signal: AbortSignal, onAlive: () => void) => Promise<string | undefined>;

/**
 * Asks every endpoint for its cluster, and chooses those of one cluster. A single endpoint is not asked.
 *
 * @throws {Error} if the endpoints belong to different clusters, and none has the majority. If no endpoint can be
 *   reached, throws the first TLS error of `ask`, or else its first error.
 */
export async function endpointsOfOneCluster(endpoints: readonly string[], ask: Ask): Promise<Choice> {
  const all = [...new Set(endpoints)];
  if (all.length === 1) return { ours: all, clusterId: undefined, foreign: [] };
  const answers = await answersOf(all, ask);
  const failures = [...answers.values()].flatMap((answer) => ('error' in answer ? [answer.error] : []));
  const kinds = failures.map((error) => failureOf(plain(error)));
  const areUnreachable = kinds.every((kind) => ['unreachable', 'silent', 'tls'].includes(kind));
  // The command itself would only wait for the same endpoints again. A TLS error comes first, because waiting does not end it.
  if (failures.length === all.length && areUnreachable) throw failures[Math.max(0, kinds.indexOf('tls'))];
  const choice = chosen(membersOf(answers), all);
  if (choice === undefined)
    throw new Error(`no cluster has the majority of the endpoints: ${named(membersOf(answers))}`);
  return choice;
}

/**
 * Chooses by the vote of the library. Pure.
 *
 * @param members the endpoints that have named their cluster.
 * @param endpoints all endpoints that are configured.
 * @returns undefined if the members belong to different clusters, and none has the majority of the endpoints.
 */
export function chosen(members: readonly Member[], endpoints: readonly string[]): Choice | undefined {
  if (members.length === 0) return { ours: endpoints, clusterId: undefined, foreign: [] };
  const said = endpoints.map((endpoint) => members.find((member) => member.endpoint === endpoint)?.clusterId);
  const vote = voteOf(said, undefined, { isRollCall: false, isQuiet: false });
  if (vote === undefined) return undefined;
  const { clusterId } = vote;
  return {
    ours: endpoints.filter((_, index) => said[index] === clusterId),
    clusterId,
    foreign: members.filter((member) => member.clusterId !== clusterId),
  };
}

/** The endpoints of every cluster, with its ID. */
export function named(members: readonly Member[]): string {
  const clusters = new Map<string, string[]>();
  for (const { endpoint, clusterId } of members)
    clusters.set(clusterId, [...(clusters.get(clusterId) ?? []), endpoint]);
  return [...clusters].map(([id, endpoints]) => `${endpoints.join(', ')} (cluster ${id})`).join('; ');
}

const membersOf = (answers: ReadonlyMap<string, Answer>): Member[] =>
  [...answers].flatMap(([endpoint, answer]) =>
    'clusterId' in answer && answer.clusterId !== undefined
      ? [{ endpoint, clusterId: answer.clusterId }]
      : [],
  );

/**
 * Waits for the answers of all endpoints. Once an endpoint has answered, waits only a little for silent ones. Without
 * a majority for one cluster, waits longer for the endpoints that are alive. Otherwise a slow login could decide the vote.
 */
async function answersOf(endpoints: readonly string[], ask: Ask): Promise<Map<string, Answer>> {
  const answers = new Map<string, Answer>();
  const alive = new Set<string>();
  const over = new AbortController();
  const timers: (() => void)[] = [];
  await new Promise<void>((resolve) => {
    const isAwaited = (endpoint: string): boolean => alive.has(endpoint) && !answers.has(endpoint);
    const waitedLong = (): void => {
      if (hasMajority(membersOf(answers), endpoints) || !endpoints.some(isAwaited)) resolve();
    };
    const answered = (endpoint: string, answer: Answer): void => {
      if (over.signal.aborted) return;
      answers.set(endpoint, answer);
      const leftMs = hasMajority(membersOf(answers), endpoints) ? AFTER_MAJORITY_MS : AFTER_OTHER_MS;
      if (answers.size === endpoints.length) resolve();
      else if ([...answers.values()].some((other) => !('error' in other)))
        timers.push(afterTurn(leftMs, waitedLong));
    };
    for (const endpoint of endpoints)
      ask(endpoint, over.signal, () => alive.add(endpoint)).then(
        (clusterId) => answered(endpoint, { clusterId }),
        (error: unknown) => answered(endpoint, { error }),
      );
  });
  for (const cancel of timers) cancel();
  over.abort();
  return answers;
}

const hasMajority = (members: readonly Member[], endpoints: readonly string[]): boolean =>
  2 * (chosen(members, endpoints)?.ours.length ?? 0) > endpoints.length;
