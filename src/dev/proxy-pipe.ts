import type { Socket } from 'node:net';

const MAX_WAITING_BYTES = 1024 * 1024;

/** What comes from a source: bytes, its end (FIN), or its loss (RST or a failed connect). */
type News = Buffer | 'end' | 'gone';

interface Waiting {
  readonly dueMs: number;
  readonly news: News;
}

/**
 * One direction of a proxied connection. Everything from the source waits in one queue until its delay is over. While
 * the pipe is stalled, nothing leaves the queue, and the source is not read. Even the end of the source does not reach
 * the sink.
 */
export class Pipe {
  readonly #source: Socket;
  readonly #sink: Socket;
  readonly #mayPass: (bytes: number) => boolean;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #isStalled = false;
  #delayMs = 0;
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param mayPass gets the number of bytes that are about to leave, 0 for an end. If it returns false, the bytes or
   * the end are not forwarded.
   */
  constructor(source: Socket, sink: Socket, mayPass: (bytes: number) => boolean) {
    this.#source = source;
    this.#sink = sink;
    this.#mayPass = mayPass;
    source.on('data', (chunk: Buffer) => this.#enqueue(chunk));
    source.once('end', () => this.#enqueue('end'));
    source.on('error', () => {}); // 'close' follows, with hadError
    source.once('close', (hadError) => {
      if (hadError || !source.readableEnded) this.#enqueue('gone');
    });
    sink.on('drain', () => this.#flush());
    sink.once('close', () => clearTimeout(this.#timer));
  }

  set({ isStalled, delayMs }: { isStalled: boolean; delayMs: number }): void {
    this.#isStalled = isStalled;
    this.#delayMs = delayMs;
    this.#flush();
  }

  #enqueue(news: News): void {
    const lastDueMs = this.#waiting.at(-1)?.dueMs ?? 0; // keeps the order when the delay becomes shorter
    this.#waiting.push({ dueMs: Math.max(lastDueMs, performance.now() + this.#delayMs), news });
    if (Buffer.isBuffer(news)) this.#waitingBytes += news.length;
    this.#flush();
  }

  /** Forwards what is due, then waits for the next due time. */
  #flush(): void {
    clearTimeout(this.#timer);
    while (this.#mayLeave(this.#waiting[0])) this.#send(this.#waiting.shift()?.news);
    const isBlocked = this.#isStalled || this.#sink.writableNeedDrain;
    if (isBlocked || this.#waitingBytes > MAX_WAITING_BYTES) this.#source.pause();
    else this.#source.resume();
    const next = this.#waiting[0];
    if (next === undefined || isBlocked) return;
    this.#timer = setTimeout(() => this.#flush(), Math.max(1, next.dueMs - performance.now()));
  }

  #mayLeave(next: Waiting | undefined): boolean {
    if (next === undefined || this.#isStalled) return false;
    return next.dueMs <= performance.now() && !this.#sink.writableNeedDrain;
  }

  #send(news: News | undefined): void {
    if (Buffer.isBuffer(news)) this.#waitingBytes -= news.length;
    if (news === undefined || this.#sink.destroyed) return;
    if (!this.#mayPass(Buffer.isBuffer(news) ? news.length : 0)) return;
    if (news === 'end') this.#sink.end();
    else if (news === 'gone') this.#sink.resetAndDestroy();
    else this.#sink.write(news);
  }
}
