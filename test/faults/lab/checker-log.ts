/**
 * Finds what is wrong with the logs that leaders appended to. Each history of etcd is judged alone: a wipe
 * deletes the log, and a restore replaces it by an older one.
 */
import type { Evidence, Finding, LogEntry, Standing, Stretch } from './evidence.ts';
import type { Append } from './history.ts';

/** S1: acknowledged appends exist once, in order; refused ones do not exist. */
export function wrongLogs(evidence: Evidence): Finding[] {
  return [
    ...epochs(evidence).flatMap((epoch) => [
      ...wrongLog(evidence, epoch, 'etcd'),
      ...wrongLog(evidence, epoch, 'http'),
      ...epoch.elseBranches.map((key): Finding => ({ promise: 'S1', what: `an else branch wrote ${key}` })),
    ]),
    ...lostAppends(evidence, 'etcd'),
    ...lostAppends(evidence, 'http'),
  ];
}

/** A period with one history of etcd, and the content at its end. */
interface Epoch extends Stretch, Standing {
  readonly base: readonly LogEntry[];
}

function epochs(evidence: Evidence): Epoch[] {
  const { cuts } = evidence;
  return [...cuts.map(({ before }) => before), evidence].map(
    ({ logs, timesWritten, elseBranches }, index) => ({
      logs,
      timesWritten,
      elseBranches,
      fromMs: cuts[index - 1]?.atMs ?? Number.NEGATIVE_INFINITY,
      toMs: cuts[index]?.atMs ?? Number.POSITIVE_INFINITY,
      base: cuts[index - 1]?.base ?? [],
    }),
  );
}

const sentTo = ({ appends }: Evidence, to: 'etcd' | 'http'): Append[] =>
  appends.filter((append) => append.to === to);

/** S1: an acknowledged append exists in an epoch in which it was in flight. Entries of a snapshot remain. */
function lostAppends(evidence: Evidence, to: 'etcd' | 'http'): Finding[] {
  const all = epochs(evidence).map((epoch) => ({ ...epoch, standing: new Set(epoch.logs[to].map(entryId)) }));
  const lost = sentTo(evidence, to)
    .filter(({ outcome }) => outcome === 'acknowledged' || outcome === 'settled')
    .filter(
      (append) =>
        !all.some(
          ({ fromMs, toMs, standing }) =>
            append.sentMs < toMs && append.answeredMs >= fromMs && standing.has(entryId(append)),
        ),
    )
    .map((append) => `${append.outcome} append ${entryId(append)} is lost`);
  const gone = all.flatMap(({ base, standing }) =>
    base.filter((entry) => to === 'etcd' && !standing.has(entryId(entry))),
  );
  const lostAgain = gone.map((entry) => `append ${entryId(entry)} came back with the snapshot and is lost`);
  return [...lost, ...lostAgain].map((what) => ({ promise: 'S1', what: `${to}: ${what}` }));
}

/**
 * S1: within an epoch entries exist once and in order, refused ones do not exist, and none arrives late from an
 * earlier epoch.
 */
function wrongLog(evidence: Evidence, epoch: Epoch, to: 'etcd' | 'http'): Finding[] {
  const { timesWritten, logs, base } = epoch;
  const findings: Finding[] = [];
  const say = (what: string): void => void findings.push({ promise: 'S1', what: `${to}: ${what}` });
  const log = [...logs[to]].sort((a, b) => (a.order < b.order ? -1 : a.order > b.order ? 1 : 0));
  const sent = new Map(sentTo(evidence, to).map((append) => [entryId(append), append]));
  const cameBack = new Set(base.map(entryId));
  let lastToken = -1n;
  const lastCounter = new Map<string, number>();
  for (const entry of log) {
    const id = entryId(entry);
    const append = sent.get(id);
    if (entry.times !== 1) say(`append ${id} was applied ${entry.times} times`);
    if (append === undefined || append.sentMs >= epoch.toMs) say(`append ${id} stands, and nobody sent it`);
    // A refusal in the next epoch only says that the append does not exist there.
    else if (append.outcome === 'refused' && append.answeredMs < epoch.toMs)
      say(`refused append ${id} stands all the same`);
    else if (append.answeredMs < epoch.fromMs && !cameBack.has(id))
      say(`append ${id} of an epoch before stands`);
    if (evidence.hasTokens && entry.token < lastToken)
      say(`append ${id} stands behind one of token ${lastToken}`);
    lastToken = entry.token > lastToken ? entry.token : lastToken;
    if (append?.outcome !== 'acknowledged') continue; // a late append without an acknowledgement is allowed
    const term = `${entry.process}/${entry.token}`;
    if (entry.counter < (lastCounter.get(term) ?? 0))
      say(`append ${id} stands behind a later one of the same term`);
    lastCounter.set(term, entry.counter);
  }
  const written = log.reduce((sum, { times }) => sum + times, 0);
  if (to === 'etcd' && written !== timesWritten)
    say(`${written} entries stand, but the key beside them was written ${timesWritten} times`);
  return findings;
}

const entryId = (of: { process: string; token: bigint; counter: number }): string =>
  `${of.process}/${of.token}/${of.counter}`;
