/** Prints the demo's lines. On a terminal, one more line below them shows the present state. */
import type { WriteStream } from 'node:tty';

type Colour = 'bold' | 'dim' | 'green' | 'red' | 'yellow' | 'cyan' | 'magenta' | 'blue';

const codes: Readonly<Record<Colour, readonly [number, number]>> = {
  bold: [1, 22],
  dim: [2, 22],
  green: [32, 39],
  red: [31, 39],
  yellow: [33, 39],
  cyan: [36, 39],
  magenta: [35, 39],
  blue: [34, 39],
};

const CLEAR_LINE = '\r\u001B[2K';
const HIDE_CURSOR = '\u001B[?25l';
const SHOW_CURSOR = '\u001B[?25h';

export class Screen {
  readonly #out: WriteStream;
  readonly #hasColour: boolean;
  #live = '';

  constructor(out: WriteStream) {
    this.#out = out;
    this.#hasColour = out.isTTY && out.hasColors(); // hasColors() honours NO_COLOR and TERM
  }

  get isTerminal(): boolean {
    return this.#out.isTTY;
  }

  paint(colour: Colour, text: string): string {
    const [on, off] = codes[colour];
    return this.#hasColour ? `\u001B[${on}m${text}\u001B[${off}m` : text;
  }

  print(line = ''): void {
    const live = this.#live;
    this.live('');
    this.#out.write(`${line}\n`);
    this.live(live);
  }

  /** Shows a line at the bottom of a terminal, in place of the line before. An empty line removes it. */
  live(line: string): void {
    if (!this.isTerminal || line === this.#live) return;
    if (this.#live === '') this.#out.write(HIDE_CURSOR);
    this.#live = line;
    this.#out.write(`${CLEAR_LINE}${line}${line === '' ? SHOW_CURSOR : ''}`);
  }
}

export const span = (ms: number): string =>
  ms < 1000 ? `${Math.max(0, Math.round(ms))} ms` : `${(ms / 1000).toFixed(1)} s`;
