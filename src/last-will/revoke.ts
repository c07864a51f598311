/**
 * Gives leases back when their owner is dead: on whichever host answers first, a few times, then no more.
 */
import type { ClientHttp2Session } from 'node:http2';
import { bytesField, call, dial, readField, varintField } from './grpc.ts';
import type { Reach } from './messages.ts';

export interface Patience {
  /** How long one host may take before the next one is asked as well, in milliseconds. */
  readonly nextHostAfterMs: number;
  /** How long one host may take at all, in milliseconds. */
  readonly withinMs: number;
  /** How often all hosts are asked. */
  readonly rounds: number;
  /** Pause after the first round, in milliseconds; twice as long after each further one. */
  readonly pauseMs: number;
}

/** Nine seconds at most, for three hosts: what has not worked by then, the TTL does. */
export const PATIENCE: Patience = { nextHostAfterMs: 200, withinMs: 1_500, rounds: 4, pauseMs: 200 };

const OK = 0;
const NOT_FOUND = 5;
const UNAUTHENTICATED = 16;

/** Lease IDs, each with the ID of the cluster that granted it; undefined if its answers carry none. */
export type Leases = ReadonlyMap<string, string | undefined>;

/** @returns the leases that could not be given back. */
export async function revoke(reach: Reach, leases: Leases, patience: Patience = PATIENCE): Promise<Leases> {
  const left = new Map(leases);
  for (let round = 0; round < patience.rounds && left.size > 0; round++) {
    if (round > 0) await sleep(patience.pauseMs * 2 ** (round - 1));
    await askAll(reach, left, patience);
  }
  return left;
}

/** One host after another, without a long wait for one that does not answer; ends when no lease is left. */
async function askAll(
  reach: Reach,
  left: Map<string, string | undefined>,
  patience: Patience,
): Promise<void> {
  const asked = new Set<Promise<void>>();
  for (const host of reach.hosts) {
    if (left.size === 0) return;
    const answered: Promise<void> = revokeAt(host, reach, left, patience.withinMs).then(
      () => void asked.delete(answered),
    );
    asked.add(answered);
    await Promise.race([answered, sleep(patience.nextHostAfterMs)]);
  }
  while (left.size > 0 && asked.size > 0) await Promise.race(asked);
}

/** Takes each lease off the list that this host has given back, or no longer knows. Never throws. */
async function revokeAt(
  host: string,
  reach: Reach,
  left: Map<string, string | undefined>,
  withinMs: number,
): Promise<void> {
  let session: ClientHttp2Session | undefined;
  const timer = setTimeout(() => session?.destroy(), withinMs);
  try {
    session = dial(host, reach);
    const clusterId = await clusterOf(session);
    const leases = [...left].filter(([, ours]) => !isForeign(clusterId, ours));
    if (leases.length === 0) return;
    const metadata = reach.auth === undefined ? {} : { token: await authenticate(session, reach.auth) };
    const revoked = leases.map(async ([leaseId, ours]) => {
      // An error does not say which cluster it comes from: only a host that has named its cluster is believed.
      const isBelieved = ours === undefined || clusterId !== undefined;
      if (await isGone(session!, leaseId, metadata, { ours, isBelieved })) left.delete(leaseId);
    });
    await Promise.all(revoked);
  } catch {
    // The next host, or the next round.
  } finally {
    clearTimeout(timer);
    session?.destroy();
  }
}

/** In another cluster a lease with the same ID may exist, for example if that cluster was restored from a backup of ours. */
const isForeign = (theirs: string | undefined, ours: string | undefined): boolean =>
  ours !== undefined && theirs !== undefined && theirs !== '' && theirs !== ours;

/** @returns the cluster's ID; empty if the answer carries none; undefined if the host does not answer that. */
async function clusterOf(session: ClientHttp2Session): Promise<string | undefined> {
  const { status, body } = await call(session, '/etcdserverpb.Maintenance/Status', Buffer.alloc(0), {});
  return status === OK ? clusterIn(body) : undefined;
}

/** Every answer of etcd begins with a header, and that with the cluster's ID. */
function clusterIn(body: Buffer): string {
  const header = readField(body, 1);
  const clusterId = Buffer.isBuffer(header) ? readField(header, 1) : undefined;
  return typeof clusterId === 'bigint' && clusterId > 0n ? clusterId.toString() : '';
}

async function isGone(
  session: ClientHttp2Session,
  leaseId: string,
  metadata: Readonly<Record<string, string>>,
  { ours, isBelieved }: { readonly ours: string | undefined; readonly isBelieved: boolean },
): Promise<boolean> {
  const message = varintField(1, BigInt(leaseId));
  const { status, body } = await call(session, '/etcdserverpb.Lease/LeaseRevoke', message, metadata);
  if (status === OK) return !isForeign(clusterIn(body), ours);
  return status === NOT_FOUND && isBelieved;
}

async function authenticate(
  session: ClientHttp2Session,
  { username, password }: NonNullable<Reach['auth']>,
): Promise<string> {
  const credentials = Buffer.concat([bytesField(1, username), bytesField(2, password)]);
  const { status, said, body } = await call(session, '/etcdserverpb.Auth/Authenticate', credentials, {});
  const token = readField(body, 2);
  if (status === OK && Buffer.isBuffer(token)) return token.toString();
  // Authentication was switched off since: then a call without a token is as good.
  if (status !== UNAUTHENTICATED && /authentication is not enabled/.test(said)) return '';
  throw new Error(said);
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
