import type { Readable } from 'node:stream';

const MAX_LINE_LENGTH = 2000;

/** Keeps the last lines of a process's output. Lines are cut after 2,000 characters. */
export class LogTail {
  readonly #maxLines: number;
  #lines: string[] = [];

  constructor(maxLines: number) {
    this.#maxLines = maxLines;
  }

  follow(output: Readable): void {
    let unfinished = '';
    output.setEncoding('utf8');
    output.on('data', (text: string) => {
      const lines = (unfinished + text).split('\n');
      unfinished = (lines.pop() ?? '').slice(0, MAX_LINE_LENGTH);
      this.#keep(lines);
    });
    output.once('end', () => {
      if (unfinished !== '') this.#keep([unfinished]);
    });
  }

  toString(): string {
    return this.#lines.join('\n');
  }

  #keep(lines: string[]): void {
    this.#lines.push(...lines.map((line) => line.slice(0, MAX_LINE_LENGTH)));
    this.#lines = this.#lines.slice(-this.#maxLines);
  }
}
