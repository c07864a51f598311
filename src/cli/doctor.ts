/**
 * `etcd-election doctor`: is this etcd fit for elections? What is wrong, and what to do.
 */
import { randomBytes } from 'node:crypto';
import * as http from 'node:http';
import * as https from 'node:https';
import type { Etcd3 } from 'etcd3';
import { parseCommand, wholeNumber, type Connection } from './arguments.ts';
import { connected, pemOf } from './connect.ts';
import {
  judgeAlarms,
  judgeCluster,
  judgeLease,
  judgeMember,
  judgePermissions,
  judgeWrite,
  type Finding,
  type MemberReading,
  type Permission,
} from './doctor-checks.ts';
import { EXIT } from './exit-codes.ts';
import { plain } from './plain-error.ts';
import { paletteFor, print, printable, printJson, type Terminal } from './terminal.ts';

export const usage = `Usage: etcd-election doctor [--ttl SECONDS] [flags]

Asks each member of etcd whether it is there and well, takes a lease and gives it back, and tries what a candidate does
(write, read, watch, delete) under the prefix, with a key of its own that no election has. Exit code 1 if something is
wrong that keeps an election from working.

  --ttl SECONDS  the TTL that you mean to use; default 10`;

export async function doctor(args: readonly string[], terminal: Terminal): Promise<number> {
  const line = parseCommand(args, terminal.env, { ttl: { type: 'string' } });
  const ttlSeconds = wholeNumber('ttl', (line.values['ttl'] as string | undefined) ?? '10', 1, 86_400);
  const findings = await examine(line.connection, line.prefix, ttlSeconds);
  const isSound = findings.every(({ verdict }) => verdict !== 'bad');
  if (line.json) printJson(terminal.stdout, { sound: isSound, findings });
  else show(terminal, findings, isSound);
  return isSound ? EXIT.ok : EXIT.failed;
}

async function examine(connection: Connection, prefix: string, ttlSeconds: number): Promise<Finding[]> {
  const readings = await Promise.all(
    connection.endpoints.map((endpoint) => readMember(connection, endpoint)),
  );
  const members = readings.flatMap(judgeMember);
  if (readings.every(({ reached }) => 'error' in reached)) return members;
  return await connected(connection, async (client) => {
    const [clusterSize, alarms] = await Promise.all([sizeOf(client), alarmsOf(client)]);
    const trial = await tryCandidacy(client, prefix, ttlSeconds, connection.timeoutMs);
    return [
      ...members,
      ...judgeCluster(readings, clusterSize),
      ...judgeAlarms(alarms),
      ...judgeLease(ttlSeconds, trial.lease),
      ...('error' in trial.lease ? [] : judgePermissions(prefix, trial.refused)),
      ...judgeWrite(trial.writeMs),
    ];
  });
}

async function readMember(connection: Connection, endpoint: string): Promise<MemberReading> {
  const clockAheadMs = await clockOf(connection, endpoint);
  try {
    const reached = await connected({ ...connection, endpoints: [endpoint] }, async (client) => {
      await client.maintenance.status(); // connects; the next one is timed
      const sentMs = performance.now();
      const answer = await client.maintenance.status();
      return {
        version: answer.version,
        roundTripMs: performance.now() - sentMs,
        memberId: answer.header.member_id,
        leaderId: answer.leader,
        isLearner: answer.isLearner,
        databaseBytes: Number(answer.dbSize),
        errors: answer.errors ?? [],
      };
    });
    return { endpoint, reached, clockAheadMs };
  } catch (error) {
    return { endpoint, reached: { error: plain(error) }, clockAheadMs };
  }
}

/** etcd answers HTTP on its client port too, with a date, as every server does. */
function clockOf(connection: Connection, endpoint: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(connection.timeoutMs);
    const url = `${endpoint}/version`;
    const listener = (response: http.IncomingMessage): void => {
      response.resume();
      const date = Date.parse(response.headers.date ?? '');
      // Cut to whole seconds: in the middle it is half a second later.
      resolve(Number.isNaN(date) ? undefined : date + 500 - Date.now());
    };
    const request = endpoint.startsWith('https:')
      ? https.get(url, { agent: false, signal, ...pemOf(connection) }, listener)
      : http.get(url, { agent: false, signal }, listener);
    request.on('error', () => resolve(undefined));
  });
}

const sizeOf = async (client: Etcd3): Promise<number | undefined> =>
  await client.cluster.memberList({ linearizable: false }).then(
    ({ members }) => members.length,
    () => undefined, // with authentication on, not for everybody
  );

async function alarmsOf(client: Etcd3): Promise<string[] | { error: string }> {
  try {
    const { alarms } = await client.maintenance.alarm({ action: 'Get' });
    return alarms.map(({ alarm }) => String(alarm));
  } catch (error) {
    return { error: plain(error) };
  }
}

interface Trial {
  readonly lease:
    { readonly grantedSeconds: number; readonly renewedInMs: number } | { readonly error: string };
  readonly refused: Map<Permission, string>;
  readonly writeMs: number | undefined;
}

/** Does what a candidate does, under a name that nobody else has, and leaves nothing behind. */
async function tryCandidacy(
  client: Etcd3,
  prefix: string,
  ttlSeconds: number,
  withinMs: number,
): Promise<Trial> {
  const lease = client.lease(ttlSeconds, { autoKeepAlive: false });
  const refused = new Map<Permission, string>();
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
        refused.set(what, plain(error));
        return undefined;
      }
    };
    const writeMs = await attempt('put', () => client.put(key).value('').lease(leaseId).exec());
    await attempt('read', () => client.get(key).exec());
    await attempt('watch', async () => {
      const watcher = await client.watch().key(key).create();
      await watcher.cancel();
    });
    await attempt('delete', () => client.delete().key(key).exec());
    return { lease: { grantedSeconds: Number(granted.grantedTTL), renewedInMs }, refused, writeMs };
  } catch (error) {
    return { lease: { error: plain(error) }, refused, writeMs: undefined };
  } finally {
    await lease.revoke().catch(() => undefined); // it was never granted, or it runs out by itself
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

const MARKS = { good: '✓', warning: '!', bad: '✗' } as const;

function show(terminal: Terminal, findings: readonly Finding[], isSound: boolean): void {
  const palette = paletteFor(terminal.stdout, terminal.env);
  const paint = { good: palette.good, warning: palette.warn, bad: palette.bad } as const;
  for (const { check, verdict, found, advice } of findings) {
    print(terminal.stdout, `${paint[verdict](MARKS[verdict])} ${palette.bold(check)}: ${printable(found)}`);
    if (advice !== undefined) print(terminal.stdout, palette.dim(`    → ${advice}`));
  }
  const warnings = findings.filter(({ verdict }) => verdict === 'warning').length;
  print(
    terminal.stdout,
    isSound
      ? palette.good(
          `\nfit for elections${warnings === 0 ? '' : `, ${warnings} ${warnings === 1 ? 'thing' : 'things'} to know`}`,
        )
      : palette.bad('\nnot fit for elections: see ✗ above'),
  );
}
