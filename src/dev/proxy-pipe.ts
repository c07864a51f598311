import type { Socket } from 'node:net';

const MAX_WAITING_BYTES = 1024 * 1024;

/** What a source has to say: bytes, that it sends no more (FIN), or that it is gone (RST, or never reached). */
type News = Buffer | 'end' | 'gone';

interface Waiting {
  readonly dueMs: number;
  readonly news: News;
}

/**
 * One direction of a proxied connection. All that the source says goes through one queue, in order, each a delay after it
 * came. Stalled, nothing leaves the queue and the source is no longer read, so that the operating system's
 * buffers fill up and push back, and the sink does not even learn that the source is gone.
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

  /** @param mayPass asked when news leaves, with its length (an end has none); what may not pass is dropped. */
  constructor(source: Socket, sink: Socket, mayPass: (bytes: number) => boolean) {
    this.#source = source;
    this.#sink = sink;
    this.#mayPass = mayPass;
    source.on('data', (chunk: Buffer) => this.#enqueue(chunk));
    source.once('end', () => this.#enqueue('end'));
    source.on('error', () => {}); // 'close' follows, and says that there was one
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
    const lastDueMs = this.#waiting.at(-1)?.dueMs ?? 0; // a shorter delay than before may not overtake
    this.#waiting.push({ dueMs: Math.max(lastDueMs, performance.now() + this.#delayMs), news });
    if (Buffer.isBuffer(news)) this.#waitingBytes += news.length;
    this.#flush();
  }

  /** Sends on what is due, then says what to wait for: the time, the sink, or the source. */
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
