/** Calls and streams of gRPC, with their interceptors. */
import { EventEmitter } from '../modules/events.ts';
import type { Connection } from '../host.ts';
import type { Call, Channel } from './channel.ts';
import { errorOf, Metadata, type Status } from './status.ts';

interface Listener {
  onReceiveMetadata?(metadata: Metadata): void;
  onReceiveMessage?(message: unknown): void;
  onReceiveStatus?(status: Status): void;
}

interface InterceptingCall {
  start(metadata: Metadata, listener: Listener): void;
  cancelWithStatus(code: number, details: string): void;
}

type Interceptor = (options: object, next: (options: object) => InterceptingCall) => InterceptingCall;

export interface CallOptions {
  readonly interceptors?: readonly Interceptor[];
}

const CANCELLED = 1;

/** The innermost call: it sends and receives, and ends once. */
class BaseCall implements InterceptingCall, Call {
  readonly #channel: Channel;
  readonly #begin: (connection: Connection, id: number) => void;
  #listener: Listener | undefined;
  #cancel: (() => void) | undefined;
  #isOver = false;

  constructor(channel: Channel, begin: (connection: Connection, id: number) => void) {
    this.#channel = channel;
    this.#begin = begin;
  }

  start(_metadata: Metadata, listener: Listener): void {
    this.#listener = listener;
    if (!this.#isOver) this.#cancel = this.#channel.begin(this);
  }

  begin(connection: Connection, id: number): void {
    this.#begin(connection, id);
  }

  message(message: object): void {
    this.#listener?.onReceiveMessage?.(message);
  }

  status(status: Status): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#listener?.onReceiveStatus?.(status);
  }

  cancelWithStatus(code: number, details: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#cancel?.();
    globalThis.simulation.setImmediate(() => this.#listener?.onReceiveStatus?.({ code, details }));
  }
}

function intercepted(base: BaseCall, { interceptors = [] }: CallOptions): InterceptingCall {
  const next = (index: number): ((options: object) => InterceptingCall) =>
    index === interceptors.length ? () => base : (options) => interceptors[index]!(options, next(index + 1));
  return next(0)({});
}

export function unary(
  channel: Channel,
  method: string,
  request: object,
  metadata: Metadata,
  options: CallOptions,
  done: (error: Error | null, response?: unknown) => void,
): void {
  let response: unknown;
  const base = new BaseCall(channel, (connection, id) => connection.unary(id, method, request));
  const call = intercepted(base, options);
  call.start(metadata, {
    onReceiveMetadata: () => undefined,
    onReceiveMessage: (message) => (response = message),
    onReceiveStatus: (status) => (status.code === 0 ? done(null, response) : done(errorOf(status))),
  });
}

/** The part of gRPC's duplex streams that etcd3 and the library use. */
export class Stream extends EventEmitter {
  readonly #call: InterceptingCall;
  #sent: ((message: object) => void) | undefined;
  #unsent: object[] = [];
  writable = true;

  constructor(channel: Channel, method: string, metadata: Metadata, options: CallOptions) {
    super();
    const base = new BaseCall(channel, (connection, id) => {
      connection.stream(id, method);
      this.#sent = (message) => connection.write(id, message);
      for (const message of this.#unsent.splice(0)) this.#sent(message);
    });
    this.#call = intercepted(base, options);
    this.#call.start(metadata, {
      onReceiveMetadata: () => undefined,
      onReceiveMessage: (message) => this.emit('data', message),
      onReceiveStatus: (status) => {
        this.writable = false;
        this.#sent = () => undefined;
        if (status.code !== 0) this.emit('error', errorOf(status));
        this.emit('end');
      },
    });
  }

  write(message: object): boolean {
    if (this.#sent === undefined) this.#unsent.push(message);
    else this.#sent(message);
    return true;
  }

  end(): void {
    this.writable = false;
  }

  cancel(): void {
    this.#call.cancelWithStatus(CANCELLED, 'Cancelled on client');
  }
}
