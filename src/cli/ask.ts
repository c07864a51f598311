/**
 * Questions to a person at a terminal.
 */
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import type { SafeText, Terminal } from './terminal.ts';

/** The question goes to standard error: standard output may be a file. @returns what was typed, without its line end. */
export const ask = (terminal: Terminal, question: SafeText): Promise<string> =>
  answered(terminal, terminal.stderr, question);

/** As {@link ask}, but nothing of what is typed is shown. */
export async function askSecretly(terminal: Terminal, question: SafeText): Promise<string> {
  const hidden = new Writable({ write: (_chunk, _encoding, done) => done() });
  try {
    return await answered(terminal, hidden, question);
  } finally {
    terminal.stderr.write('\n');
  }
}

/** @throws {Aborted} if the person ends the input (Ctrl-C, Ctrl-D). */
async function answered(terminal: Terminal, echo: Writable, question: SafeText): Promise<string> {
  const over = new AbortController();
  const reader = createInterface({ input: terminal.stdin, output: echo, terminal: true });
  reader.on('SIGINT', () => over.abort());
  reader.on('close', () => over.abort());
  const isHidden = echo !== terminal.stderr;
  // Not before the reader is there: until then the terminal itself shows what is typed.
  if (isHidden) terminal.stderr.write(question.toString());
  try {
    return await reader.question(isHidden ? '' : question.toString(), { signal: over.signal });
  } catch (error) {
    throw new Aborted('no answer', { cause: error });
  } finally {
    reader.close();
  }
}

/** The person did not answer. */
export class Aborted extends Error {
  override readonly name = 'Aborted';
}
