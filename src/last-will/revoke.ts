/**
 * Revokes the leases of a dead process, on the first host that answers.
 */
import type { ClientHttp2Session } from 'node:http2';
import { bytesField, call, dial, readField, varintField } from './grpc.ts';
import type { Reach } from './messages.ts';

export interface Patience {
  /** How long one host may take before the next one is asked too, in milliseconds. */
  readonly nextHostAfterMs: number;
  readonly withinMs: number;
  /** How many times all hosts are asked. */
  readonly rounds: number;
  /** Pause after the first round, in milliseconds. It doubles after every further round. */
  readonly pauseMs: number;
}

/** At most nine seconds for three hosts. After that, the remaining leases expire by their TTL. */
export const PATIENCE: Patience = { nextHostAfterMs: 200, withinMs: 1_500, rounds: 4, pauseMs: 200 };

const OK = 0;
const NOT_FOUND = 5;
const UNAUTHENTICATED = 16;

/** Lease IDs, each with the ID of the cluster that granted the lease; undefined if the cluster's answers carry none. */
export type Leases = ReadonlyMap<string, string | undefined>;

/** @returns the leases that could not be revoked. */
export async function revoke(reach: Reach, leases: Leases, patience: Patience = PATIENCE): Promise<Leases> {
  const left = new Map(leases);
  for (let round = 0; round < patience.rounds && left.size > 0; round++) {
    if (round > 0) await sleep(patience.pauseMs * 2 ** (round - 1));
    await askAll(reach, left, patience);
  }
  return left;
}

/** Asks one host after another, without waiting long for a silent one. Ends when no lease or no host is left. */
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

/** Revokes the leases at one host. Removes from `left` those that are gone. Never throws. */
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
      // "Not found" names no cluster. It counts if the host has shown its status, or if the lease's cluster is unknown.
      const isBelieved = ours === undefined || clusterId !== undefined;
      if (await isGone(session!, leaseId, metadata, { ours, isBelieved })) left.delete(leaseId);
    });
    await Promise.all(revoked);
  } catch {
    // The next host is asked, or the next round begins.
  } finally {
    clearTimeout(timer);
    session?.destroy();
  }
}

/** Whether a host belongs to another cluster. A cluster restored from our backup may have a lease with the same ID. */
const isForeign = (theirs: string | undefined, ours: string | undefined): boolean =>
  ours !== undefined && theirs !== undefined && theirs !== '' && theirs !== ours;

/**
 * @returns the ID of the host's cluster. An empty string means that the answer carries none. Undefined means that the
 *   host answered with an error.
 * @throws {Error} if the host does not answer.
 */
async function clusterOf(session: ClientHttp2Session): Promise<string | undefined> {
  const { status, body } = await call(session, '/etcdserverpb.Maintenance/Status', Buffer.alloc(0), {});
  return status === OK ? clusterIn(body) : undefined;
}

/** Reads the cluster ID from an answer. Every answer begins with a header, and the header begins with that ID. */
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
  // If authentication was switched off meanwhile, a call works without a token.
  if (status !== UNAUTHENTICATED && /authentication is not enabled/.test(said)) return '';
  throw new Error(said);
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
