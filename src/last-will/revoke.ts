/**
 * Gives leases back when their owner is dead: on whichever host answers first, a few times, then no more.
 */
import type { ClientHttp2Session } from 'node:http2';
import { bytesField, call, dial, readBytesField, varintField } from './grpc.ts';
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

/** @returns the leases that could not be given back. */
export async function revoke(
  reach: Reach,
  leaseIds: Iterable<string>,
  patience: Patience = PATIENCE,
): Promise<ReadonlySet<string>> {
  const left = new Set(leaseIds);
  for (let round = 0; round < patience.rounds && left.size > 0; round++) {
    if (round > 0) await sleep(patience.pauseMs * 2 ** (round - 1));
    await askAll(reach, left, patience);
  }
  return left;
}

/** One host after the other, without waiting for long on one that keeps silent; ends when nothing is left. */
async function askAll(reach: Reach, left: Set<string>, patience: Patience): Promise<void> {
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
async function revokeAt(host: string, reach: Reach, left: Set<string>, withinMs: number): Promise<void> {
  let session: ClientHttp2Session | undefined;
  const timer = setTimeout(() => session?.destroy(), withinMs);
  try {
    session = dial(host, reach);
    const metadata = reach.auth === undefined ? {} : { token: await authenticate(session, reach.auth) };
    await Promise.all([...left].map((leaseId) => revokeOne(session!, leaseId, metadata, left)));
  } catch {
    // The next host, or the next round.
  } finally {
    clearTimeout(timer);
    session?.destroy();
  }
}

async function revokeOne(
  session: ClientHttp2Session,
  leaseId: string,
  metadata: Readonly<Record<string, string>>,
  left: Set<string>,
): Promise<void> {
  const message = varintField(1, BigInt(leaseId));
  const { status } = await call(session, '/etcdserverpb.Lease/LeaseRevoke', message, metadata);
  if (status === OK || status === NOT_FOUND) left.delete(leaseId);
}

async function authenticate(
  session: ClientHttp2Session,
  { username, password }: NonNullable<Reach['auth']>,
): Promise<string> {
  const credentials = Buffer.concat([bytesField(1, username), bytesField(2, password)]);
  const { status, said, body } = await call(session, '/etcdserverpb.Auth/Authenticate', credentials, {});
  const token = readBytesField(body, 2);
  if (status === OK && token !== undefined) return token;
  // Authentication was switched off since: then a call without a token is as good.
  if (status !== UNAUTHENTICATED && /authentication is not enabled/.test(said)) return '';
  throw new Error(said);
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
