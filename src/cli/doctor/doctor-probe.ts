/**
 * The doctor's measurements: every member by itself, and the operations of a candidate.
 */
import { randomBytes, randomInt } from 'node:crypto';
import * as http from 'node:http';
import * as https from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Etcd3 } from 'etcd3';
import type { Connection } from '../arguments.ts';
import { clusterIdAt, connected, isAuthenticationOff, pemOf } from '../connect.ts';
import { disagreeOnLeader, nameAbsentLeader, type Permission } from './doctor-checks.ts';
import type { MemberReading, MemberStatus } from './doctor-findings.ts';
import { failureOf, plain } from '../plain-error.ts';

/** How many connections are opened to one address. Behind a gateway, each may reach a different member. */
const CONNECTIONS_PER_ADDRESS = 3;

/** How long etcd may take to elect its own leader with its default settings. */
const ELECTS_WITHIN_MS = 5_000;
const LOOK_EVERY_MS = 250;

/**
 * Reads every member. While etcd seems to be electing its own leader, repeats this for the members that have answered.
 * Stops repeating after {@link ELECTS_WITHIN_MS}.
 */
export async function readMembers(
  connection: Connection,
  read: typeof readMember = readMember,
): Promise<MemberReading[]> {
  let readings = await Promise.all(connection.endpoints.map((endpoint) => read(connection, endpoint)));
  const dueMs = performance.now() + ELECTS_WITHIN_MS;
  while ((disagreeOnLeader(readings) || nameAbsentLeader(readings)) && performance.now() < dueMs) {
    await sleep(LOOK_EVERY_MS);
    readings = await Promise.all(
      readings.map(async (reading) =>
        'failure' in reading.reached ? reading : await read(connection, reading.endpoint),
      ),
    );
  }
  return readings;
}

async function readMember(connection: Connection, endpoint: string): Promise<MemberReading> {
  const one = { ...connection, endpoints: [endpoint] };
  const [overHttp, first] = await Promise.all([askOverHttp(connection, endpoint), settledStatus(one)]);
  const { clockAheadMs, version: httpVersion } = overHttp;
  if ('error' in first) {
    const seen = failureOf(first.error);
    const isOtherServer =
      overHttp.says !== undefined &&
      httpVersion === undefined &&
      !['authentication', 'permission'].includes(seen);
    const failure = isOtherServer ? 'not-etcd' : seen;
    const error = isOtherServer && seen !== 'not-etcd' ? `HTTP ${overHttp.says}` : first.error;
    const clusterId = failure === 'permission' ? await clusterIdAt(one).catch(() => undefined) : undefined;
    return { endpoint, reached: { failure, error, clusterId }, httpVersion, clockAheadMs };
  }
  const more = await Promise.all(Array.from({ length: CONNECTIONS_PER_ADDRESS - 1 }, () => statusOf(one)));
  const members = new Set([first, ...more].flatMap((status) => ('error' in status ? [] : [status.memberId])));
  return { endpoint, reached: { ...first, membersBehind: members.size }, httpVersion, clockAheadMs };
}

/** Reads the status. If etcd is electing its own leader, waits until it has one, at most {@link ELECTS_WITHIN_MS}. */
async function settledStatus(connection: Connection): Promise<MemberStatus | { readonly error: string }> {
  const dueMs = performance.now() + ELECTS_WITHIN_MS;
  for (;;) {
    const status = await statusOf(connection);
    if ('error' in status || status.leaderId !== '0' || performance.now() > dueMs) return status;
    await sleep(LOOK_EVERY_MS);
  }
}

/** Reads the status over a new connection. */
async function statusOf(connection: Connection): Promise<MemberStatus | { readonly error: string }> {
  try {
    return await connected(connection, async (client) => {
      await client.maintenance.status(); // connects; the next call is timed
      const sentMs = performance.now();
      const answer = await client.maintenance.status();
      return {
        version: answer.version,
        roundTripMs: performance.now() - sentMs,
        clusterId: answer.header.cluster_id,
        memberId: answer.header.member_id,
        leaderId: answer.leader,
        isLearner: answer.isLearner,
        databaseBytes: Number(answer.dbSize),
        errors: answer.errors ?? [],
        membersBehind: 1,
      };
    });
  } catch (error) {
    return { error: plain(error) };
  }
}

interface HttpAnswer {
  readonly clockAheadMs: number | undefined;
  readonly version: string | undefined;
  /** The HTTP status; undefined if there is no HTTP answer. */
  readonly says: number | undefined;
}

/** Reads etcd's version and the date over HTTP or HTTPS, on the client port. */
function askOverHttp(connection: Connection, endpoint: string): Promise<HttpAnswer> {
  const nothing: HttpAnswer = { clockAheadMs: undefined, version: undefined, says: undefined };
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(connection.timeoutMs);
    const url = `${endpoint}/version`;
    const listener = (response: http.IncomingMessage): void => {
      const date = Date.parse(response.headers.date ?? '');
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        if (body.length < 1_000) body += text;
      });
      response.on('error', () => resolve(nothing));
      response.on('end', () =>
        resolve({
          // HTTP cuts the date to whole seconds. On average, the real time is half a second later.
          clockAheadMs: Number.isNaN(date) ? undefined : date + 500 - Date.now(),
          version: /"etcdserver":\s*"([\w.-]+)"/.exec(body)?.[1],
          says: response.statusCode,
        }),
      );
    };
    const request = endpoint.startsWith('https:')
      ? https.get(
          url,
          { agent: false, signal, rejectUnauthorized: !connection.insecureSkipVerify, ...pemOf(connection) },
          listener,
        )
      : http.get(url, { agent: false, signal }, listener);
    request.on('error', () => resolve(nothing));
  });
}

export const sizeOf = async (client: Etcd3): Promise<number | undefined> =>
  await client.cluster.memberList({ linearizable: false }).then(
    ({ members }) => members.filter(({ isLearner }) => !isLearner).length,
    () => undefined, // with authentication on, not every user may list members
  );

export async function alarmsOf(client: Etcd3): Promise<string[] | { error: string }> {
  try {
    const { alarms } = await client.maintenance.alarm({ action: 'Get' });
    return alarms.map(({ alarm }) => String(alarm));
  } catch (error) {
    if (isAuthenticationOff(error)) throw error;
    return { error: plain(error) };
  }
}

export interface Trial {
  readonly lease:
    { readonly grantedSeconds: number; readonly renewedInMs: number } | { readonly error: string };
  readonly failed: Map<Permission, string>;
  readonly writeMs: number | undefined;
  /** Whether the watch had the ID that we chose; undefined if there was no watch. */
  readonly watchIdCameBack: boolean | undefined;
}

/** Performs the operations of a candidate with a key that no election uses, and cleans up. */
export async function tryCandidacy(
  client: Etcd3,
  prefix: string,
  ttlSeconds: number,
  withinMs: number,
): Promise<Trial> {
  const lease = client.lease(ttlSeconds, { autoKeepAlive: false });
  const failed = new Map<Permission, string>();
  let watchIdCameBack: boolean | undefined;
  try {
    const leaseId = await lease.grant();
    const granted = await client.leaseClient.leaseTimeToLive({ ID: leaseId });
    const sentMs = performance.now();
    await bounded(lease.keepaliveOnce(), withinMs);
    const renewedInMs = performance.now() - sentMs;
    const key = `${prefix}doctor-${randomBytes(6).toString('hex')}/${BigInt(leaseId).toString(16)}`;
    const attempt = async (
      what: Permission,
      act: () => PromiseLike<unknown>,
    ): Promise<number | undefined> => {
      const startMs = performance.now();
      try {
        await bounded(act(), withinMs);
        return performance.now() - startMs;
      } catch (error) {
        failed.set(what, plain(error));
        return undefined;
      }
    };
    const writeMs = await attempt('put', () => client.put(key).value('').lease(leaseId).exec());
    await attempt('read', () => client.get(key).exec());
    await attempt('watch', async () => void (watchIdCameBack = await watchOnce(client, key)));
    await attempt('delete', () => client.delete().key(key).exec());
    const grantedSeconds = Number(granted.grantedTTL);
    return { lease: { grantedSeconds, renewedInMs }, failed, writeMs, watchIdCameBack };
  } catch (error) {
    return { lease: { error: plain(error) }, failed, writeMs: undefined, watchIdCameBack };
  } finally {
    await lease.revoke().catch(() => undefined); // if this fails, the lease expires
  }
}

/** @returns whether the watch has the ID that we chose. @throws if etcd refuses the watch. */
async function watchOnce(client: Etcd3, key: string): Promise<boolean> {
  const chosen = String(randomInt(1_000, 2 ** 31));
  const stream = await client.watchClient.watch();
  try {
    return await new Promise<boolean>((resolve, reject) => {
      stream.on('error', reject);
      stream.on('end', () => reject(new Error('the watch stream ended')));
      stream.on('data', ({ created, canceled, cancel_reason, watch_id }) => {
        if (canceled) reject(new Error(cancel_reason === '' ? 'the watch was cancelled' : cancel_reason));
        else if (created) resolve(watch_id === chosen);
      });
      stream.write({ create_request: { key: Buffer.from(key), watch_id: chosen } });
    });
  } finally {
    stream.end();
    stream.cancel();
  }
}

async function bounded<T>(work: PromiseLike<T>, withinMs: number): Promise<T> {
  const timeout = AbortSignal.timeout(withinMs);
  return await Promise.race([
    work,
    new Promise<never>((_, reject) =>
      timeout.addEventListener('abort', () => reject(new Error(`no answer within ${withinMs} ms`)), {
        once: true,
      }),
    ),
  ]);
}
