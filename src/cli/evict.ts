/**
 * `etcd-election evict NAME`: ends the term of the leader, and only the term that was shown.
 */
import type { Etcd3 } from 'etcd3';
import { oneName, operandsOf, parseCommand, UsageError, type CommandLine } from './arguments.ts';
import { Aborted, ask } from './ask.ts';
import { askedBy, withCluster } from './connect.ts';
import { EXIT } from './exit-codes.ts';
import { LostAnswers, readQueues, removeCandidate, type Candidate } from './candidates.ts';
import { explain, ExplainedError, plain } from './plain-error.ts';
import { paletteFor, print, printJson, safe, shownValue, type SafeText, type Terminal } from './terminal.ts';

export const usage = `Usage: etcd-election evict NAME [--yes] [--token TOKEN] [flags]

Ends the leader's term by deleting its key. Asks for confirmation first. The leader notices at once, stops its work, and
enters again at the back of the queue. The next candidate leads. A newer term than the one shown is never ended.

  --yes          do not ask; required without a terminal, and with --json
  --token TOKEN  end the term only if this is the leader's fencing token

If etcd's answer is lost, evict tries again. If the key is gone then, the exit code is 0, and a line says that something else
may have ended the term.

Exit code 3 if there is no leader. Exit code 4 if the answer was no, the term was already over, or TOKEN is not the
leader's.`;

export async function evict(args: readonly string[], terminal: Terminal): Promise<number> {
  const line = parseCommand(args, terminal.env, { yes: { type: 'boolean' }, token: { type: 'string' } });
  const name = oneName(operandsOf(line));
  const token = line.values['token'] as string | undefined;
  if (token !== undefined && !/^\d+$/.test(token))
    throw new UsageError(`--token: expected a fencing token, a whole number, got ${token}`);
  const asks = line.values['yes'] !== true;
  if (asks && line.json) throw new UsageError('evict cannot ask with --json: pass --yes');
  if (asks && terminal.stdin.isTTY !== true) throw new UsageError('no terminal to confirm on; pass --yes');
  const say = (message: SafeText, document: object): void => {
    if (line.json) printJson(terminal.stdout, { election: name, ...document });
    else print(terminal.stdout, message);
  };
  const lost = new LostAnswers();
  const work = async (client: Etcd3): Promise<number> => {
    const { queues, clusterId } = await readQueues(client, line.prefix, name);
    const [leader, ...others] = queues[0]?.candidates ?? [];
    if (leader === undefined) {
      say(safe`${name}: nobody leads, nothing to end`, { evicted: false, reason: 'nobody leads' });
      return EXIT.noLeader;
    }
    const term = { fencingToken: leader.fencingToken.toString(), value: leader.value, key: leader.key };
    const notEvicted = (reason: string, why: SafeText): number => {
      say(safe`${name}: not evicted: ${why}`, { evicted: false, reason, term });
      return EXIT.notDone;
    };
    if (token !== undefined && BigInt(token) !== leader.fencingToken)
      return notEvicted('another term', safe`${described(leader)} leads, not token ${token}`);
    const where = `prefix ${line.prefix === '' ? 'none' : line.prefix}, cluster ${clusterId}`;
    if (asks && !(await confirmed(terminal, `${name} (${where})`, leader, others.length)))
      return notEvicted('declined', safe`the answer was no`);
    const removal = await removed(client, leader, lost, line);
    if (removal === 'gone') return notEvicted('over already', safe`that term is already over`);
    if (removal === 'removed')
      say(safe`${name}: ended the term of ${described(leader)}`, { evicted: true, term });
    else
      say(
        safe`${name}: the term of ${described(leader)} is over. etcd's first answer was lost, so it is not known whether evict or something else ended it`,
        { evicted: true, reason: 'answer lost', term },
      );
    return EXIT.ok;
  };
  return await withCluster(line, terminal, work, lost.note);
}

/** @throws {ExplainedError} also if the outcome is unknown. */
async function removed(
  client: Etcd3,
  leader: Candidate,
  lost: LostAnswers,
  line: CommandLine,
): ReturnType<typeof removeCandidate> {
  try {
    return await removeCandidate(client, leader, lost);
  } catch (error) {
    if (!lost.hasAny) throw error;
    const why = explain(error, askedBy(line))?.message ?? plain(error);
    const unknown = `${why}. The term of ${described(leader).toString()} may have ended nevertheless. To check, run etcd-election status ${leader.election}`;
    throw new ExplainedError(unknown, { cause: error });
  }
}

const described = ({ value, fencingToken }: Candidate): SafeText =>
  safe`${shownValue(value)} (token ${fencingToken})`;

async function confirmed(
  terminal: Terminal,
  election: string,
  leader: Candidate,
  waiting: number,
): Promise<boolean> {
  const { warn } = paletteFor(terminal.stderr, terminal.env);
  const next = waiting === 0 ? 'no other candidate' : `${waiting} waiting`;
  const question = warn(safe`${election}: end the term of ${described(leader)}? ${next} [y/N] `);
  try {
    return /^y(es)?$/i.test((await ask(terminal, question)).trim());
  } catch (error) {
    if (!(error instanceof Aborted)) throw error;
    terminal.stderr.write('\n');
    return false;
  }
}
