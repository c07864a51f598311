/** What the tests of test/faults have in common. */
import { startEtcd, type EtcdCluster, type EtcdSeries } from 'etcd-election/dev';
import { afterAll, beforeAll, expect } from 'vitest';
import { during } from './fault-kind.ts';
import { etcdAnswers } from './etcd-answers.ts';
import type { Candidate } from './candidate-process.ts';
import { etcdBinary } from './etcd-binary.ts';
import { NOISE_MS, type Lab, type Marks } from './lab.ts';
import type { Outcome } from './outcome.ts';

/** One etcd for the tests of a file. Each test has its own election. */
export function sharedCluster(
  options: {
    members?: 1 | 3;
    etcdArgs?: readonly string[];
    peerNetwork?: boolean;
    series?: EtcdSeries | undefined;
  } = {},
): () => EtcdCluster {
  let cluster: EtcdCluster | undefined;
  beforeAll(async () => {
    cluster = await startEtcd({
      members: options.members ?? 3,
      binary: await etcdBinary(options.series),
      extraArgs: options.etcdArgs,
      peerNetwork: options.peerNetwork,
    });
  });
  afterAll(async () => {
    await cluster?.stop();
  });
  return () => cluster!;
}

/** Ends the run and checks its history against every promise: S1, S2, S4, S5, L2 and L5. */
export async function expectKept(lab: Lab): Promise<Outcome> {
  const outcome = await lab.verdict();
  const told = outcome.faults.map(
    ({ what, fromMs, toMs }) => `${fromMs.toFixed(0)} to ${toMs.toFixed(0)}: ${what}`,
  );
  expect(outcome.findings, told.join('\n')).toEqual([]);
  const fenced = outcome.evidence.appends.filter((append) => append.to === 'etcd');
  expect(fenced.some(({ outcome: said }) => said === 'acknowledged')).toBe(true);
  return outcome;
}

/**
 * A fault that lasts until another candidate than its victim leads.
 * @returns the new leader.
 */
export async function untilAnotherLeads(
  lab: Lab,
  victim: Candidate,
  marks: Marks,
  harm: () => void | Promise<void>,
  lift: () => void | Promise<void> = () => victim.restore(),
): Promise<Candidate> {
  let next: Candidate | undefined;
  await during(lab, marks, async () => {
    await harm();
    next = await lab.leader({ notOf: [victim] });
    await lift();
  });
  return next!;
}

/**
 * The leader steps down, in each of its terms until another one leads. A stalled machine may cost the next one its place in the
 * queue, and then the old leader is the next.
 */
export async function handOver(lab: Lab, from: Candidate, withinMs?: number): Promise<Candidate> {
  let told: string | undefined;
  return await lab.until(
    'another one leads',
    () => {
      const token = from.term?.token;
      if (token !== undefined && token !== told) from.tell({ do: 'step-down' });
      told = token ?? told;
      return lab.candidates.find((one) => one.isActing && one !== from);
    },
    withinMs,
  );
}

/**
 * Waits until a candidate reports that it is next. Its key in the queue is no proof, because its owner may have
 * died.
 */
export async function nextInQueue(
  lab: Lab,
  among: readonly Candidate[] = lab.candidates,
): Promise<Candidate> {
  for (const candidate of among) candidate.reported = undefined;
  return lab.until('somebody is next in the queue', () => {
    for (const candidate of among) candidate.tell({ do: 'report' });
    return among.find(({ reported }) => reported?.status === 'waiting' && reported.position === 2);
  });
}

/**
 * The acting leader, when its writes have gone to every member. It has one write in flight at a time, to a random member. A
 * request on a connection that is not yet open does not arrive while the network fails.
 */
export const leaderOnAllWays = (lab: Lab): Promise<Candidate> =>
  lab.until('a leader has written to all members', () =>
    lab.candidates.find(
      (one) => one.isActing && one.links.every(({ openConnections }) => openConnections > 0),
    ),
  );

/** With this many appends in a row, at least one is expected to go to the silent member and hang. */
const APPENDS_IN_A_ROW = 40;

/**
 * Waits until the appends of one leader succeed one after another, so that none still hangs on a silent member. The work of a
 * leader waits for its write before it stops.
 */
export async function leaderThatAppends(lab: Lab): Promise<Candidate> {
  for (;;) {
    const leader = await lab.leader();
    const term = leader.term?.token;
    const enough = (await lab.timesWritten()) + APPENDS_IN_A_ROW;
    while ((await lab.timesWritten()) < enough) await forOneTtl(lab);
    if (term !== undefined && leader.term?.token === term) return leader;
  }
}

/** Lets the run continue for at least the longest life of an unrenewed lease. */
export const forOneTtl = (lab: Lab): Promise<void> => forTtls(lab, 1);

/** Lets the run continue for this multiple of the TTL. */
export async function forTtls(lab: Lab, ttls: number): Promise<void> {
  const untilMs = performance.now() + ttls * lab.ttlMs;
  await lab.until(`${ttls} TTL`, () => performance.now() >= untilMs);
}

/** L5, in milliseconds. */
const BACK_WITHIN_MS = 3_000;

/** L5: a candidate leads within 3 s of etcd's first answer. */
export async function backInTime(lab: Lab): Promise<Candidate> {
  await etcdAnswers(lab);
  return await lab.leader({ withinMs: BACK_WITHIN_MS + NOISE_MS });
}
