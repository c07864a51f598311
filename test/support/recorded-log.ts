import pino from 'pino';
import type { Logger } from 'etcd-election';

export interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly event: string;
  readonly [field: string]: unknown;
}

/** A pino logger that prints nothing and records everything. */
export class RecordedLog {
  readonly lines: LogLine[] = [];
  readonly logger: Logger;

  constructor(level = 'trace') {
    this.logger = pino(
      { level, base: null },
      { write: (line: string) => void this.lines.push(JSON.parse(line) as LogLine) },
    );
  }

  of(event: string): LogLine[] {
    return this.lines.filter((line) => line.event === event);
  }

  toString(): string {
    const zero = Number(this.lines[0]?.['time'] ?? 0);
    return this.lines
      .filter(({ level }) => level > 10)
      .map((line) => `${String(Number(line['time']) - zero).padStart(7)} ms  ${line.event}: ${line.msg}`)
      .join('\n');
  }
}
