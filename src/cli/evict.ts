/**
 * `etcd-election evict NAME`: ends the term of the leader, and only the term that was shown.
 */
import { oneName, parseCommand, UsageError } from './arguments.ts';
import { Aborted, ask } from './ask.ts';
import { withEtcd } from './connect.ts';
import { EXIT } from './exit-codes.ts';
import { readQueues, removeCandidate, type Candidate } from './candidates.ts';
import { paletteFor, print, printJson, safe, shownValue, type SafeText, type Terminal } from './terminal.ts';

export const usage = `Usage: etcd-election evict NAME [--yes] [--token TOKEN] [flags]

Ends the leader's term: deletes its key, only if it is still the one of the term that was shown. The leader notices at
once, stops its work and stands again at the back of the queue; the next candidate leads. Asks first.

  --yes          do not ask (needed where there is no terminal to ask on)
  --token TOKEN  only if this is the leader's fencing token

Exit code 4 if it was not done: the answer was no, or that term was over already.`;

export async function evict(args: readonly string[], terminal: Terminal): Promise<number> {
  const line = parseCommand(args, terminal.env, { yes: { type: 'boolean' }, token: { type: 'string' } });
  const name = oneName(line.words);
  const token = line.values['token'] as string | undefined;
  if (token !== undefined && !/^\d+$/.test(token))
    throw new UsageError(`--token: expected a fencing token, a whole number, got ${token}`);
  const asks = line.values['yes'] !== true;
  if (asks && (terminal.stdin.isTTY !== true || line.json))
    throw new UsageError('no terminal to confirm on; pass --yes');
  const say = (message: SafeText, document: object): void => {
    if (line.json) printJson(terminal.stdout, { election: name, ...document });
    else print(terminal.stdout, message);
  };
  return await withEtcd(line, terminal, async (client) => {
    const { queues, clusterId } = await readQueues(client, line.prefix, name);
    const [queue] = queues;
    const leader = queue?.candidates[0];
    if (leader === undefined) {
      say(safe`${name}: nobody leads, nothing to end`, { evicted: false, reason: 'nobody leads' });
      return EXIT.noLeader;
    }
    const term = { fencingToken: leader.fencingToken.toString(), value: leader.value, key: leader.key };
    if (token !== undefined && BigInt(token) !== leader.fencingToken) {
      say(safe`${name}: not done: ${described(leader)} leads, not token ${token}`, {
        evicted: false,
        reason: 'another term',
        term,
      });
      return EXIT.notDone;
    }
    const where = `prefix ${line.prefix === '' ? 'none' : line.prefix}, cluster ${clusterId}`;
    if (asks && !(await confirmed(terminal, `${name} (${where})`, leader, queue!.candidates.length - 1))) {
      say(safe`${name}: left as it is`, { evicted: false, reason: 'declined', term });
      return EXIT.notDone;
    }
    if (!(await removeCandidate(client, leader))) {
      say(safe`${name}: not done: that term is over already`, {
        evicted: false,
        reason: 'over already',
        term,
      });
      return EXIT.notDone;
    }
    say(safe`${name}: ended the term of ${described(leader)}`, { evicted: true, term });
    return EXIT.ok;
  });
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
  const next = waiting === 0 ? 'nobody else stands' : `${waiting} waiting`;
  const question = warn(safe`${election}: end the term of ${described(leader)}? ${next} [y/N] `);
  try {
    return /^y(es)?$/i.test((await ask(terminal, question)).trim());
  } catch (error) {
    if (!(error instanceof Aborted)) throw error;
    terminal.stderr.write('\n');
    return false;
  }
}
