/** The substitute for `@grpc/grpc-js`. etcd3 itself is real: it makes its clients, errors and metadata from this. */
import { unary, Stream, type CallOptions } from './calls.ts';
import { Channel, connectivityState } from './channel.ts';
import { Metadata } from './status.ts';

export { connectivityState, Metadata };

export const credentials = { createInsecure: () => ({}), createSsl: () => ({}) };

class Client {
  readonly #channel: Channel;
  #isClosed = false;

  constructor(address: string, _credentials: object, options: object = {}) {
    this.#channel = Channel.open(address, options);
  }

  getChannel(): { getConnectivityState(): number } {
    return {
      getConnectivityState: () => (this.#isClosed ? connectivityState.SHUTDOWN : this.#channel.state),
    };
  }

  /** etcd3 calls this before it closes a client that is still connecting. */
  waitForReady(_deadline: number, done: () => void): void {
    done();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#channel.close();
  }

  protected call(
    method: string,
    request: object,
    metadata: Metadata,
    options: CallOptions,
    done: (error: Error | null, response?: unknown) => void,
  ): void {
    unary(this.#channel, method, request, metadata, options, done);
  }

  protected stream(method: string, metadata: Metadata, options: CallOptions): Stream {
    return new Stream(this.#channel, method, metadata, options);
  }
}

type Done = (error: Error | null, response?: unknown) => void;

/** A client of one etcd service, with a method for each of its calls. */
function service(unaryCalls: readonly string[], streams: readonly string[] = []): typeof Client {
  class Service extends Client {}
  const methods = Service.prototype as unknown as Record<string, unknown>;
  for (const method of unaryCalls)
    methods[method] = function call(
      this: Service,
      request: object,
      metadata: Metadata,
      options: CallOptions,
      done: Done,
    ): void {
      this.call(method, request, metadata, options, done);
    };
  for (const method of streams)
    methods[method] = function open(this: Service, metadata: Metadata, options: CallOptions): Stream {
      return this.stream(method, metadata, options);
    };
  return Service;
}

export const loadPackageDefinition = (): object => ({
  etcdserverpb: {
    KV: service(['range', 'put', 'deleteRange', 'txn', 'compact']),
    Lease: service(['leaseGrant', 'leaseRevoke', 'leaseTimeToLive', 'leaseLeases'], ['leaseKeepAlive']),
    Watch: service([], ['watch']),
    Cluster: service(['memberList']),
    Maintenance: service(['status']),
    Auth: service(['authenticate']),
  },
});
