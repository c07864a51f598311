/**
 * Questions to a person at a terminal.
 */
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { printable, type Terminal } from './terminal.ts';

/** The question goes to standard error: standard output may be a file. @returns what was typed, without its line end. */
export async function ask(terminal: Terminal, question: string): Promise<string> {
  return await answered(terminal, terminal.stderr, question);
}

/** As {@link ask}, but nothing of what is typed is shown. */
export async function askSecretly(terminal: Terminal, question: string): Promise<string> {
  terminal.stderr.write(printable(question));
  const hidden = new Writable({ write: (_chunk, _encoding, done) => done() });
  const answer = await answered(terminal, hidden, '');
  terminal.stderr.write('\n');
  return answer;
}

/** @throws {Error} if the person ends the input (Ctrl-C, Ctrl-D). */
async function answered(
  terminal: Terminal,
  output: NodeJS.WritableStream,
  question: string,
): Promise<string> {
  const over = new AbortController();
  const reader = createInterface({ input: terminal.stdin, output, terminal: true });
  reader.on('SIGINT', () => over.abort());
  reader.on('close', () => over.abort());
  try {
    return await reader.question(question, { signal: over.signal });
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
