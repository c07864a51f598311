/**
 * `etcd-election status [NAME]`: shows the leader, its token, the candidates, and how long their leases last.
 */
import { oneName, parseCommand } from './arguments.ts';
import { withEtcd } from './connect.ts';
import { EXIT } from './exit-codes.ts';
import { readLeases, readQueues, type ElectionQueue, type LeaseLeft } from './candidates.ts';
import {
  joined,
  paletteFor,
  print,
  printJson,
  safe,
  table,
  type Palette,
  type SafeText,
  type Terminal,
} from './terminal.ts';

export const usage = `Usage: etcd-election status [NAME] [flags]

Who leads, its fencing token, the candidates in order, and how long their leases still last. Without NAME: all
elections under the prefix. Exit code 3 if NAME has no leader.`;

export async function status(args: readonly string[], terminal: Terminal): Promise<number> {
  const line = parseCommand(args, terminal.env);
  const name = line.words.length === 0 ? undefined : oneName(line.words);
  return await withEtcd(line, terminal, async (client) => {
    const found = await readQueues(client, line.prefix, name);
    const leases = await readLeases(
      client,
      found.flatMap(({ candidates }) => candidates),
    );
    if (line.json) {
      const documents = found.map((queue) => documentOf(queue, leases));
      printJson(
        terminal.stdout,
        name === undefined ? documents : (documents[0] ?? { election: name, leader: null, candidates: [] }),
      );
    } else {
      print(
        terminal.stdout,
        textOf(found, leases, paletteFor(terminal.stdout, terminal.env), name, line.prefix),
      );
    }
    return name !== undefined && found.length === 0 ? EXIT.noLeader : EXIT.ok;
  });
}

/** The JSON document of one election, for `--json`. */
export function documentOf(
  { election, candidates }: ElectionQueue,
  leases: ReadonlyMap<string, LeaseLeft>,
): object {
  const documents = candidates.map(({ key, value, fencingToken, leaseId }, index) => {
    const lease = leases.get(leaseId);
    return {
      position: index + 1,
      value,
      fencingToken: fencingToken.toString(),
      key,
      leaseId,
      ttlLeftSeconds: lease?.leftSeconds ?? null,
      ttlGrantedSeconds: lease?.grantedSeconds ?? null,
    };
  });
  return { election, leader: documents[0] ?? null, candidates: documents };
}

export function textOf(
  queues: readonly ElectionQueue[],
  leases: ReadonlyMap<string, LeaseLeft>,
  palette: Palette,
  name: string | undefined,
  prefix: string,
): SafeText {
  if (queues.length === 0)
    return name === undefined
      ? safe`no election under "${prefix}"`
      : safe`${name}: ${palette.warn('nobody leads')}`;
  return joined(
    queues.map(({ election, candidates }) => {
      const rows = candidates.map(({ value, fencingToken, leaseId }, index) => [
        index === 0 ? '* leads' : `  ${index + 1}`,
        value,
        `token ${fencingToken}`,
        leftOf(leases.get(leaseId)),
      ]);
      const [leader, ...others] = table(rows);
      return joined([palette.bold(election), palette.good(leader!), ...others], '\n');
    }),
    '\n\n',
  );
}

function leftOf(lease: LeaseLeft | undefined): string {
  if (lease === undefined) return 'no lease: stays until it is evicted';
  return lease.leftSeconds < 0 ? 'lease gone' : `${lease.leftSeconds} of ${lease.grantedSeconds} s left`;
}
