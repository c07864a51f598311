/** One HTTP/2 connection between a process and an endpoint, with calls and streams, in order in each direction. */
import type { Connection, ConnectionListener } from '../inside/host.ts';
import type { VirtualTime } from '../process/scheduler.ts';
import type { Endpoint, Refusal, ServerStream } from './endpoint.ts';
import type { Direction, Link } from './link.ts';
import type { Trace } from './trace.ts';

export interface ConnectionTools {
  readonly time: VirtualTime;
  readonly trace: Trace;
  /** Passes an event to the event loop of the process. */
  arrive(run: () => void): void;
  /** True time as the process sees it. It may be ahead of the world after a long callback. */
  processNowMs(): number;
  ended(): void;
  /** A call or a stream begins. */
  called(): void;
}

/** How long a failing connection attempt takes before gRPC gives up, in milliseconds. */
const CONNECT_LIMIT_MS = 20_000;

/** gRPC's translation of an HTTP status. */
const codeOfHttp = (status: number): number => (status === 404 ? 12 : status === 403 ? 7 : 14);

interface Messages {
  readonly unsent: (() => void)[];
  readonly underWay: (() => void)[];
}

const newMessages = (): Messages => ({ unsent: [], underWay: [] });

const WRITES: ReadonlySet<string> = new Set(['put', 'deleteRange', 'txn', 'leaseGrant', 'leaseRevoke']);

export class NetworkConnection implements Connection {
  readonly #link: Link;
  readonly #endpoint: Endpoint;
  readonly #to: ConnectionListener;
  readonly #tools: ConnectionTools;
  readonly #streams = new Map<number, ServerStream>();
  /** Calls whose answer the client awaits. */
  readonly #open = new Set<number>();
  readonly #leave: () => void;
  readonly #lastAtMs = { up: 0, down: 0 };
  readonly #messages = { up: newMessages(), down: newMessages() };
  #isOver = false;
  #isHalfOpen = false;
  #isReset = false;
  #losesAnswers = false;
  /** The message that ends it after a reset. */
  #closing: (() => void) | undefined;

  constructor(link: Link, to: ConnectionListener, tools: ConnectionTools) {
    this.#link = link;
    this.#endpoint = link.endpoint;
    this.#to = to;
    this.#tools = tools;
    this.#leave = link.has(this);
    this.#dial();
  }

  #dial(): void {
    const { time } = this.#tools;
    if (this.#link.isRefusing || this.#endpoint.condition === 'down') {
      this.#travel('up', () =>
        this.#travel('down', () => this.#close(`connect ECONNREFUSED ${this.#link.address}`)),
      );
      return;
    }
    const cancel = time.after(CONNECT_LIMIT_MS, () => this.reset('connect ETIMEDOUT'));
    this.#travel('up', () => {
      const greet = (): void => {
        if (this.#isOver) return;
        if (this.#endpoint.condition === 'down') return this.reset('connect ECONNREFUSED');
        // The kernel accepts the connection, but a frozen process sends nothing on it.
        if (this.#endpoint.condition === 'frozen') return void time.after(GREET_AGAIN_MS, greet);
        this.#travel('down', () => {
          cancel();
          this.#tools.arrive(() => this.#isOver || this.#to.open());
        });
      };
      greet();
    });
  }

  unary(call: number, method: string, request: object): void {
    this.#tools.called();
    this.#open.add(call);
    this.#travel('up', () => {
      this.#note(this.#link.process, this.#endpoint.name, method, request);
      if (this.#link.httpStatus !== 0) return this.#answerHttp(call);
      this.#endpoint.unary(method, request, (error, response) => this.#reply(call, method, error, response));
    });
  }

  #reply(call: number, method: string, error: Refusal | null, response: object | undefined): void {
    if (this.#isOver) return;
    if (WRITES.has(method) && this.#link.answersToLose > 0) {
      this.#link.answersToLose--;
      return this.reset('read ECONNRESET');
    }
    this.#travel('down', () => {
      this.#note(this.#endpoint.name, this.#link.process, method, error ?? response!);
      this.#tools.arrive(() => {
        if (!this.#open.delete(call)) return;
        if (error === null) this.#to.message(call, response!);
        this.#to.status(call, error?.code ?? 0, error?.message ?? '');
      });
    });
  }

  stream(call: number, method: string): void {
    this.#tools.called();
    this.#open.add(call);
    this.#travel('up', () => {
      if (this.#link.httpStatus !== 0) return this.#answerHttp(call);
      const stream = this.#endpoint.stream(method as 'watch' | 'leaseKeepAlive', {
        data: (message) =>
          this.#travel('down', () => {
            this.#note(this.#endpoint.name, this.#link.process, method, message);
            this.#tools.arrive(() => this.#open.has(call) && this.#to.message(call, message));
          }),
        end: (error) => {
          this.#streams.delete(call);
          this.#end(call, error?.code ?? 0, error?.message ?? '');
        },
      });
      this.#streams.set(call, stream);
    });
  }

  write(call: number, message: object): void {
    this.#travel('up', () => {
      this.#note(this.#link.process, this.#endpoint.name, 'write', message);
      this.#streams.get(call)?.write(message);
    });
  }

  cancel(call: number): void {
    this.#open.delete(call);
    this.#travel('up', () => this.#cancelStream(call));
  }

  /**
   * Until the server's kernel learns of it, earlier messages are still in transit. A server that restarts gets
   * none of them.
   */
  close(): void {
    this.#finish();
    if (this.#isHalfOpen) return this.#leave();
    this.#travel('up', () => {
      this.#drop();
      this.#leave();
    });
  }

  /** Both ends learn that it has ended, if they can. */
  reset(reason: string): void {
    if (this.#isReset) return;
    this.#isReset = true;
    this.#drop();
    if (this.#isOver) this.#leave();
    else this.#travel('down', (this.#closing = () => this.#close(reason)));
  }

  loseAnswers(): void {
    this.#losesAnswers = true;
  }

  halfOpen(): void {
    this.#isHalfOpen = true;
  }

  breakCalls(): void {
    for (const call of this.#open) this.#answerHttp(call);
    this.#drop();
  }

  #answerHttp(call: number): void {
    const status = this.#link.httpStatus;
    this.#end(call, codeOfHttp(status), `Received HTTP status code ${status}`);
  }

  #end(call: number, code: number, details: string): void {
    this.#travel('down', () => {
      this.#note(this.#endpoint.name, this.#link.process, 'end', { code, details });
      this.#tools.arrive(() => this.#open.delete(call) && this.#to.status(call, code, details));
    });
  }

  #close(reason: string): void {
    this.#note(this.#endpoint.name, this.#link.process, 'closed', { reason });
    this.#tools.arrive(() => {
      if (this.#isOver) return;
      this.#finish();
      this.#leave();
      this.#to.closed(reason);
    });
  }

  #finish(): void {
    this.#isOver = true;
    this.#open.clear();
    this.#tools.ended();
  }

  /** The server's side ends. */
  #drop(): void {
    for (const call of this.#streams.keys()) this.#cancelStream(call);
  }

  #cancelStream(call: number): void {
    const stream = this.#streams.get(call);
    this.#streams.delete(call);
    stream?.cancel();
  }

  /**
   * Messages of one direction arrive in the order in which they were sent. If a later one finds the path free first, it brings the
   * earlier one along, as TCP does, which then retransmits at once.
   */
  #travel(direction: Direction, arrive: () => void): void {
    if (this.#isHalfOpen) return;
    const { unsent, underWay } = this.#messages[direction];
    unsent.push(arrive);
    this.#link.send(direction, () => {
      underWay.push(unsent.shift()!);
      const { time } = this.#tools;
      const sentAtMs = direction === 'up' ? this.#tools.processNowMs() : time.now();
      const atMs = Math.max(sentAtMs + this.#link.delayMs(direction), this.#lastAtMs[direction]);
      this.#lastAtMs[direction] = atMs;
      time.at(atMs, () =>
        this.#link.send(direction, () => {
          const first = underWay.shift()!;
          // The other end may have died while the packet was delayed.
          const isLost =
            this.#isReset && (direction === 'up' || (this.#losesAnswers && first !== this.#closing));
          if (!this.#isHalfOpen && !isLost) first();
        }),
      );
    });
  }

  #note(from: string, to: string, what: string, message: object): void {
    this.#tools.trace.add(this.#tools.time.now(), from, to, what, message);
  }
}

/** How often a new connection without a greeting checks whether its server runs, in milliseconds. */
const GREET_AGAIN_MS = 10;
