/**
 * Asks questions at a terminal.
 */
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import type { SafeText, Terminal } from './terminal.ts';

/** Asks on standard error, because standard output may be a file. @returns the answer, without its line end. */
export const ask = (terminal: Terminal, question: SafeText): Promise<string> =>
  answered(terminal, terminal.stderr, question);

/** Like {@link ask}, but does not show what is typed. */
export async function askSecretly(terminal: Terminal, question: SafeText): Promise<string> {
  const hidden = new Writable({ write: (_chunk, _encoding, done) => done() });
  try {
    return await answered(terminal, hidden, question);
  } finally {
    terminal.stderr.write('\n');
  }
}

/** @throws {Aborted} if the user ends the input (Ctrl-C, Ctrl-D). */
async function answered(terminal: Terminal, echo: Writable, question: SafeText): Promise<string> {
  const over = new AbortController();
  const reader = createInterface({ input: terminal.stdin, output: echo, terminal: true });
  reader.on('SIGINT', () => over.abort());
  reader.on('close', () => over.abort());
  const isHidden = echo !== terminal.stderr;
  // Before a secret is asked for, the reader must have begun. Otherwise the terminal would show what is typed.
  if (isHidden) terminal.stderr.write(question.toString());
  try {
    return await reader.question(isHidden ? '' : question.toString(), { signal: over.signal });
  } catch (error) {
    throw new Aborted('no answer', { cause: error });
  } finally {
    reader.close();
  }
}

export class Aborted extends Error {
  override readonly name = 'Aborted';
}
