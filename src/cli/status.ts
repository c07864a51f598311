/**
 * `etcd-election status [NAME]`: shows the leader, the candidates, and their leases.
 */
import { nameProblem } from '../core/names.ts';
import { oneName, operandsOf, parseCommand } from './arguments.ts';
import { withCluster } from './connect.ts';
import { EXIT } from './exit-codes.ts';
import { readLeases, readQueues, type ElectionQueue, type LeaseLeft } from './candidates.ts';
import {
  joined,
  paletteFor,
  print,
  printJson,
  safe,
  shownValue,
  table,
  type Palette,
  type SafeText,
  type Terminal,
} from './terminal.ts';

export const usage = `Usage: etcd-election status [NAME] [flags]

Shows the leader, its fencing token, the candidates in order, and how long their leases last. Without NAME, it shows all
elections under the prefix. Exit code 3 if NAME has no leader.`;

/** How many candidates of every election are shown without a NAME. */
const MOST_CANDIDATES = 10;

export async function status(args: readonly string[], terminal: Terminal): Promise<number> {
  const line = parseCommand(args, terminal.env);
  const operands = operandsOf(line);
  const name = operands.length === 0 ? undefined : oneName(operands);
  return await withCluster(line, terminal, async (client, endpoints) => {
    const { queues, clusterId } = await readQueues(client, line.prefix, name);
    const most = name === undefined && !line.json ? MOST_CANDIDATES : Infinity;
    const leases = await readLeases(
      client,
      queues.flatMap(({ candidates }) => candidates.slice(0, most)),
    );
    const where: Where = { prefix: line.prefix, clusterId };
    if (line.json) {
      const documents = queues.map((queue) => documentOf(queue, leases, where));
      const none = { election: name, ...where, leader: null, candidates: [] };
      printJson(terminal.stdout, name === undefined ? documents : (documents[0] ?? none));
    } else {
      const { stdout, env } = terminal;
      const view = { palette: paletteFor(stdout, env), name, most, columns: stdout.columns };
      print(stdout, joined([headingOf(where, endpoints), textOf(queues, leases, view, line.prefix)], '\n'));
    }
    return name !== undefined && queues.length === 0 ? EXIT.noLeader : EXIT.ok;
  });
}

/** Where the elections are. Under another prefix, or in another cluster, the same name is another election. */
interface Where {
  readonly prefix: string;
  readonly clusterId: string;
}

const headingOf = ({ prefix, clusterId }: Where, endpoints: readonly string[]): SafeText =>
  safe`prefix ${prefix === '' ? 'none' : prefix}, cluster ${clusterId}, at ${endpoints.join(', ')}`;

export function documentOf(
  { election, candidates }: ElectionQueue,
  leases: ReadonlyMap<string, LeaseLeft>,
  where: Where,
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
  return { election, ...where, leader: documents[0] ?? null, candidates: documents };
}

export interface StatusView {
  readonly palette: Palette;
  /** The NAME on the command line, if there is one. */
  readonly name: string | undefined;
  readonly most: number;
  /** Width of the terminal; undefined if the output is not a terminal. */
  readonly columns: number | undefined;
}

export function textOf(
  queues: readonly ElectionQueue[],
  leases: ReadonlyMap<string, LeaseLeft>,
  { palette, name, most, columns }: StatusView,
  prefix: string,
): SafeText {
  if (queues.length === 0)
    return name === undefined
      ? safe`no election under "${prefix}"`
      : safe`${name}: ${palette.warn('nobody leads')}`;
  return joined(
    queues.map(({ election, candidates }) => {
      const rows = candidates
        .slice(0, most)
        .map(({ value, fencingToken, leaseId }, index) => [
          index === 0 ? '* leads' : `  ${index + 1}`,
          shownValue(value, valueWidth(columns)),
          `token ${fencingToken}`,
          leftOf(leases.get(leaseId)),
        ]);
      const [leader, ...others] = table(rows);
      const left = candidates.length - rows.length;
      const more =
        left > 0 ? [palette.dim(safe`  and ${left} more: status ${wayToAll(election)} shows all`)] : [];
      return joined([palette.bold(election), palette.good(leader!), ...others, ...more], '\n');
    }),
    '\n\n',
  );
}

/** Other clients may use a name that the command refuses as NAME. */
const wayToAll = (election: string): string => (nameProblem(election) === undefined ? election : '--json');

const OTHER_COLUMNS_WIDTH = 40;
const LEAST_VALUE = 12;

const valueWidth = (columns: number | undefined): number | undefined =>
  columns === undefined ? undefined : Math.max(LEAST_VALUE, Math.min(60, columns - OTHER_COLUMNS_WIDTH));

function leftOf(lease: LeaseLeft | undefined): string {
  if (lease === undefined) return 'no lease: etcd never deletes this key';
  return lease.leftSeconds < 0 ? 'lease gone' : `${lease.leftSeconds} of ${lease.grantedSeconds} s left`;
}
