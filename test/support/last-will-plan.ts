/** Replicas with a last will, bundled from source before the tests of the file that imports this one. */
import { Etcd3 } from 'etcd3';
import { beforeAll } from 'vitest';
import { eventually } from './eventually.ts';
import type { ChildPlan } from './last-will-child.ts';
import { buildChild } from './last-will-process.ts';

export const TTL_SECONDS = 10;
/**
 * Not a promise but a limit for a busy machine, which may take seconds to start a helper. A renewed lease lasts for two thirds
 * of its TTL at least, so only the helper can have revoked it earlier.
 */
export const AT_ONCE_MS = (TTL_SECONDS * 1_000) / 2;
/**
 * For a process that stops for as long: its last renewal may be a third of the TTL old, and with {@link TTL_SECONDS} both together
 * nearly use up the lease.
 */
export const UNHURRIED = { options: { ttlSeconds: 2 * TTL_SECONDS } };

let program: string;
beforeAll(async () => {
  program = await buildChild('test/support/last-will-child.ts');
});

/** Path of the compiled child, once the tests run. */
export const lastWillChild = (): string => program;

export const planOf = (
  client: ChildPlan['client'],
  prefix: string,
  rest: Partial<Omit<ChildPlan, 'options'>> & { options?: ChildPlan['options'] } = {},
): ChildPlan => ({
  client,
  election: 'e',
  value: 'alice',
  ...rest,
  options: { ttlSeconds: TTL_SECONDS, prefix, lastWill: true, ...rest.options },
});

/** @returns the duration in milliseconds. */
export async function untilGone(client: Etcd3, leaseId: string, withinMs: number): Promise<number> {
  const sinceMs = performance.now();
  await eventually(async () => (await timeToLive(client, leaseId)) < 0, { withinMs });
  return performance.now() - sinceMs;
}

/** In seconds; negative if etcd does not know the lease. */
export const timeToLive = async (client: Etcd3, leaseId: string): Promise<number> =>
  Number((await client.leaseClient.leaseTimeToLive({ ID: leaseId })).TTL);
