/**
 * `etcd-election doctor`: checks whether etcd is fit for elections.
 */
import { operandsOf, parseCommand, UsageError, wholeNumber, type Connection } from '../arguments.ts';
import { connected, withPassword } from '../connect.ts';
import {
  judgeAlarms,
  judgeCluster,
  judgeLease,
  judgePermissions,
  judgeProxy,
  judgeWrite,
  membersOf,
} from './doctor-checks.ts';
import type { Finding, MemberReading } from './doctor-findings.ts';
import { judgeMember, judgeVersions } from './doctor-members.ts';
import { alarmsOf, readMembers, sizeOf, tryCandidacy } from './doctor-probe.ts';
import { EXIT } from '../exit-codes.ts';
import { chosen } from '../one-cluster.ts';
import { paletteFor, print, printJson, safe, type Terminal } from '../terminal.ts';

export const usage = `Usage: etcd-election doctor [--ttl SECONDS] [flags]

Checks every endpoint that is given. Then it does what a candidate does: it takes a lease, and writes, reads, watches and deletes
a key under the prefix. No election uses that key. It leaves nothing behind. Exit code 1 if elections cannot work here.

  --ttl SECONDS  the TTL of your elections, 1 to 86400; default 10`;

export async function doctor(args: readonly string[], terminal: Terminal): Promise<number> {
  const line = parseCommand(args, terminal.env, { ttl: { type: 'string' } });
  const [operand] = operandsOf(line);
  if (operand !== undefined)
    throw new UsageError(`doctor takes flags only, such as --endpoints; got ${operand}`);
  const ttlSeconds = wholeNumber('ttl', (line.values['ttl'] as string | undefined) ?? '10', 1, 86_400);
  const connection = await withPassword(line.connection, terminal);
  const findings = await examine(connection, line.prefix, ttlSeconds);
  const isSound = findings.every(({ verdict }) => verdict !== 'bad');
  if (line.json) printJson(terminal.stdout, { sound: isSound, findings });
  else show(terminal, findings, isSound);
  return isSound ? EXIT.ok : EXIT.failed;
}

async function examine(connection: Connection, prefix: string, ttlSeconds: number): Promise<Finding[]> {
  const readings = await readMembers(connection);
  // Uses only members of one cluster that have answered. A time-out of another member says nothing about the cluster.
  const { ours = [] } = chosen(membersOf(readings), [...new Set(connection.endpoints)]) ?? {};
  const usable = readings
    .filter((reading) => canTry(reading) && ours.includes(reading.endpoint))
    .map(({ endpoint }) => endpoint);
  if (usable.length === 0)
    return [
      ...readings.flatMap((reading) => judgeMember(reading)),
      ...judgeVersions(readings),
      ...judgeCluster(readings, undefined),
    ];
  return await connected({ ...connection, endpoints: usable }, async (client) => {
    const [clusterSize, alarms] = await Promise.all([sizeOf(client), alarmsOf(client)]);
    const trial = await tryCandidacy(client, prefix, ttlSeconds, connection.timeoutMs);
    const hasQuorum = !('error' in trial.lease);
    return [
      ...readings.flatMap((reading) => judgeMember(reading, !hasQuorum)),
      ...judgeVersions(readings),
      ...judgeCluster(readings, clusterSize),
      ...judgeProxy(trial.watchIdCameBack, ttlSeconds),
      ...judgeAlarms(alarms),
      ...judgeLease(ttlSeconds, trial.lease),
      ...('error' in trial.lease ? [] : judgePermissions(prefix, trial.failed)),
      ...judgeWrite(trial.writeMs),
    ];
  });
}

/** Whether the member can do what a candidate needs. A learner cannot. A member that refuses us its status still can. */
const canTry = ({ reached }: MemberReading): boolean =>
  'failure' in reached ? reached.failure === 'permission' : !reached.isLearner;

const MARKS = { good: '✓', warning: '!', bad: '✗' } as const;

function show(terminal: Terminal, findings: readonly Finding[], isSound: boolean): void {
  const palette = paletteFor(terminal.stdout, terminal.env);
  const paint = { good: palette.good, warning: palette.warn, bad: palette.bad } as const;
  for (const { check, verdict, found, advice, details = [] } of findings) {
    print(terminal.stdout, safe`${paint[verdict](MARKS[verdict])} ${palette.bold(check)}: ${found}`);
    for (const detail of details) print(terminal.stdout, safe`    ${detail}`);
    if (advice !== undefined) print(terminal.stdout, palette.dim(safe`    → ${advice}`));
  }
  const warnings = findings.filter(({ verdict }) => verdict === 'warning').length;
  const toKnow = warnings === 0 ? '' : `, ${warnings} ${warnings === 1 ? 'warning' : 'warnings'}`;
  print(terminal.stdout, safe``);
  print(
    terminal.stdout,
    isSound ? palette.good(`fit for elections${toKnow}`) : palette.bad('not fit for elections: see ✗ above'),
  );
}
