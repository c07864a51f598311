/**
 * What is wrong with the logs that leaders appended to. Each history of etcd is judged by itself: a wipe loses the log, and a restore
 * puts an older one in its place.
 */
import type { Evidence, Finding, LogEntry, Standing, Stretch } from './evidence.ts';
import type { Append } from './history.ts';

/** S1: what was acknowledged stands once, in order; what was refused does not stand. */
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

/** A stretch of time in which etcd had one history, and what stood at its end. */
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

/** S1: what was acknowledged stands in an epoch that it was under way in; an entry of a snapshot stands on. */
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

/** S1: within an epoch, what stands stands once, in order; what was refused does not stand; nothing comes late from before. */
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
    // What was refused later, in the next epoch, says only that it does not stand there.
    else if (append.outcome === 'refused' && append.answeredMs < epoch.toMs)
      say(`refused append ${id} stands all the same`);
    else if (append.answeredMs < epoch.fromMs && !cameBack.has(id))
      say(`append ${id} of an epoch before stands`);
    if (evidence.hasTokens && entry.token < lastToken)
      say(`append ${id} stands behind one of token ${lastToken}`);
    lastToken = entry.token > lastToken ? entry.token : lastToken;
    if (append?.outcome !== 'acknowledged') continue; // a late one nobody was told of may come late
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
