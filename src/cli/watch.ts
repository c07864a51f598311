/**
 * `etcd-election watch NAME`: a line for every change of the leader, "nobody leads" too.
 */
import { Election, type Leader } from '../index.ts';
import { oneName, parseCommand } from './arguments.ts';
import { connected } from './connect.ts';
import { EXIT } from './exit-codes.ts';
import { silentLogger } from './narrator.ts';
import { untilStopped } from './stop-signals.ts';
import { paletteFor, print, printable, printJson, type Palette, type Terminal } from './terminal.ts';

export const usage = `Usage: etcd-election watch NAME [flags]

A line for the leader there is, and one for every change from then on; also when nobody leads. It heals itself after
an outage of etcd, needs no candidacy, and goes on until it is interrupted (exit code 0).`;

export async function watch(args: readonly string[], terminal: Terminal): Promise<number> {
  const line = parseCommand(args, terminal.env);
  const name = oneName('watch', line.words);
  const palette = paletteFor(terminal.stdout, terminal.env);
  return await connected(line.connection, async (client) => {
    await using election = new Election(client, name, { prefix: line.prefix, logger: silentLogger });
    using stop = untilStopped(terminal.stdout);
    for await (const leader of election.observe({ signal: stop.signal })) {
      const at = new Date();
      if (line.json) printJson(terminal.stdout, documentOf(name, leader, at));
      else print(terminal.stdout, lineOf(leader, at, palette));
    }
    return EXIT.ok;
  });
}

const documentOf = (election: string, leader: Leader | undefined, at: Date): object => ({
  at: at.toISOString(),
  election,
  leader: leader === undefined ? null : { ...leader, fencingToken: leader.fencingToken.toString() },
});

export function lineOf(leader: Leader | undefined, at: Date, palette: Palette): string {
  const time = palette.dim(at.toISOString());
  if (leader === undefined) return `${time}  ${palette.warn('nobody leads')}`;
  return `${time}  ${palette.good(printable(leader.value))} leads (token ${leader.fencingToken})`;
}
