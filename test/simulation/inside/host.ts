/**
 * Everything that a simulated process gets from the world. It can reach nothing else: it has no clock, timer,
 * socket or random number of its own.
 */
export interface HostApi {
  readonly pid: number;
  readonly hostName: string;
  readonly plan: Plan;
  readonly monotonicMs: () => number;
  readonly wallMs: () => number;
  readonly bootMs: () => number;
  readonly random: () => number;
  /** @param afterMs on the process's own clock. @returns an ID, never 0. */
  readonly setTimer: (run: () => void, afterMs: number) => number;
  readonly clearTimer: (id: number) => void;
  readonly setImmediate: (run: () => void) => number;
  readonly clearImmediate: (id: number) => void;
  /** Blocks the thread for this long, in local milliseconds. */
  readonly block: (ms: number) => void;
  readonly connect: (address: string, to: ConnectionListener) => Connection;
  /** A resource outside etcd that leaders write to. It refuses smaller tokens than it has seen. */
  readonly post: (
    token: string,
    counter: number,
    settle: (outcome: 'acknowledged' | 'refused' | 'unknown') => void,
  ) => void;
  readonly record: (fact: Fact) => void;
  readonly log: (level: string, fields: object, text: string) => void;
}

export interface ConnectionListener {
  open(): void;
  /** The connection failed or has ended. */
  closed(reason: string): void;
  message(call: number, message: object): void;
  status(call: number, code: number, details: string): void;
}

export interface Connection {
  /** Begins a call with one request. */
  unary(call: number, method: string, request: object): void;
  /** Begins a stream. */
  stream(call: number, method: string): void;
  write(call: number, message: object): void;
  cancel(call: number): void;
  close(): void;
}

/** What a process does beside its campaign. */
export interface Plan {
  readonly name: string;
  readonly hosts: readonly string[];
  readonly election: string;
  readonly ttlSeconds: number;
  readonly marginMs: number | undefined;
  readonly logPrefix: string;
  /** The first number of its appends: no two lives of a process share a number. */
  readonly firstCounter: number;
  /**
   * How often it appends to its log in etcd and to the other resource, and how long the work continues after the
   * end.
   */
  readonly appendEveryMs: number;
  readonly stopsAfterMs: number;
  /** The shortest time that the end of a term waits for the work, in milliseconds. */
  readonly drainMs: number;
  /** One of this many appends is sent with `exactlyOnce`; 0 for none. */
  readonly onceEach: number;
  /** The number of additional elections: see `crowd.ts`. */
  readonly crowd: number;
}

/** What a process reports to the checker; times are the world's. */
export type Fact =
  | { readonly type: 'elected'; readonly token: string; readonly key: string; readonly leaseId: string }
  | { readonly type: 'acting'; readonly token: string }
  | { readonly type: 'ended'; readonly token: string; readonly because: string }
  | { readonly type: 'still-working'; readonly token: string }
  /** It continued for longer than the end of a term waits for the work. */
  | { readonly type: 'stopped-late'; readonly token: string }
  | { readonly type: 'follower'; readonly token: string }
  | {
      readonly type: 'append';
      readonly to: 'etcd' | 'http';
      readonly token: string;
      readonly counter: number;
    }
  | {
      readonly type: 'appended';
      readonly to: 'etcd' | 'http';
      readonly token: string;
      readonly counter: number;
      readonly outcome: 'acknowledged' | 'refused' | 'unknown' | 'settled';
    }
  | { readonly type: 'error'; readonly code: string; readonly text: string }
  | { readonly type: 'campaign-ended'; readonly code: string; readonly text: string }
  | { readonly type: 'left'; readonly how: string }
  /** The application calls `campaign()` or `resign()`. */
  | { readonly type: 'stands' }
  | { readonly type: 'resigns' }
  /** It leads an additional election. */
  | {
      readonly type: 'seat';
      readonly election: string;
      readonly seat: number;
      readonly token: string;
      readonly leaseId: string;
    }
  | {
      readonly type: 'seat-refused';
      readonly election: string;
      readonly seat: number;
      readonly code: string;
    }
  | {
      readonly type: 'seat-stands';
      readonly election: string;
      readonly seat: number;
      readonly stands: boolean;
    }

  /** Its view of the queue that it is in. */
  | {
      readonly type: 'sees';
      readonly leader: string;
      readonly position: number;
      readonly isEstimate: boolean;
    };

/** What the world can request from a process. */
export interface Program {
  /** Stamps its term if it is current: see {@link Fact}. */
  look(): void;
  stepDown(): void;
  resign(): void;
  campaign(): void;
  /** Stamps during the whole block. */
  block(ms: number): void;
  throwInWork(): void;
  /** All work throws at once, for this long. */
  runAway(ms: number): void;
  /**
   * Acts on all additional elections in one turn: `look` stamps the terms, `tell` reports the candidates in the
   * queue.
   */
  crowd(what: 'enter' | 'leave' | 'hand-over' | 'look' | 'tell'): void;
  /** Reports its view of the queue. */
  tell(): void;
  close(): void;
}

declare global {
  var simulation: HostApi;
  var program: Program | undefined;
}
