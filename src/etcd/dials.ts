/**
 * Ends the dials of a client when the client is closed. By itself, gRPC forgets a dial that the host does not answer,
 * and leaves the connection open. So every dial to a frozen host would leave a connection behind, and could keep the
 * process alive.
 *
 * This file uses private parts of gRPC. If a release of gRPC lacks them, dials end when gRPC itself ends them.
 */
import type { Socket } from 'node:net';
import { after, clock } from '../util/clock.ts';

/** How often a dial is checked for its first bytes, in milliseconds. gRPC does not report them. */
const LOOK_EVERY_MS = 100;

interface Connector {
  /** Called before the dial. */
  waitForReady(): Promise<void>;
  /** Makes the TLS handshake, if there is one. */
  connect(socket: Socket): Promise<{ readonly socket: Socket }>;
}

interface Credentials {
  _createSecureConnector?(...args: readonly unknown[]): Connector;
}

/**
 * One address of a host, and its connector. gRPC passes the address to `net.connect()`, which obeys the `signal` in it.
 */
interface Subchannel {
  readonly secureConnector?: unknown;
  readonly subchannelAddress?: { signal?: AbortSignal };
}

export interface Service {
  close(): void;
  getChannel?(): {
    readonly internalChannel?: { readonly wrappedSubchannels?: Iterable<{ readonly child?: Subchannel }> };
  };
}

/** A host inside an etcd3 client. */
export interface DiallingHost {
  channelCredentials?: Credentials;
  cachedServices: Readonly<Record<string, Service | undefined>>;
}

export interface Dials {
  /** Ends every dial on which HTTP/2 has not begun, and refuses further ones. */
  end(): void;
  /** Whether gRPC may have resolved the name of the host and begun to dial. Always true if dials cannot be tracked. */
  readonly hasBegun: boolean;
  /** The last dial that the host has answered; undefined if it has answered none. */
  readonly answered: AnsweredDial | undefined;
}

interface AnsweredDial {
  /**
   * When the dial began, in milliseconds. That may be long after the client was made, because gRPC dials again by
   * itself.
   */
  readonly dialledAtMs: number;
  /** How much later the first bytes of the host came, in milliseconds. */
  readonly firstBytesAfterMs: number;
}

export function trackDials(hosts: readonly DiallingHost[]): Dials {
  const dials = new TrackedDials();
  for (const host of hosts) {
    const credentials = host.channelCredentials;
    const create = credentials?._createSecureConnector?.bind(credentials);
    if (credentials === undefined || create === undefined) {
      dials.hasBegun = true;
      continue;
    }
    const value = (...args: readonly unknown[]): Connector => dials.track(create(...args), host);
    host.channelCredentials = Object.create(credentials, {
      _createSecureConnector: { value },
    }) as Credentials;
  }
  return dials;
}

class TrackedDials implements Dials {
  /** For each dial, a function that ends it. */
  readonly #dials = new Set<() => void>();
  hasBegun = false;
  #isOver = false;
  #answered: AnsweredDial | undefined;

  get answered(): AnsweredDial | undefined {
    return this.#answered;
  }

  end(): void {
    this.#isOver = true;
    for (const end of this.#dials) end();
  }

  track(connector: Connector, host: DiallingHost): Connector {
    this.hasBegun = true; // gRPC makes a connector for each address that it has found
    const waitForReady = connector.waitForReady.bind(connector);
    const connect = connector.connect.bind(connector);
    let endDial = (): void => undefined;
    let dialledAtMs = 0;
    connector.waitForReady = async () => {
      this.#dials.delete(endDial); // the previous dial, if any, has failed
      await waitForReady();
      this.#refuseIfOver();
      dialledAtMs = clock.now();
      const abort = new AbortController();
      const address = addressOf(host, connector);
      if (address !== undefined) address.signal = abort.signal;
      this.#dials.add((endDial = () => abort.abort()));
    };
    connector.connect = async (tcp) => {
      this.#dials.delete(endDial);
      this.#refuseIfOver();
      let carrier: Socket | undefined; // the socket that carries HTTP/2; undefined during the TLS handshake
      const end = (): void => void ((carrier?.bytesRead ?? 0) === 0 && tcp.destroy());
      this.#dials.add(end);
      this.#lookForBytes(tcp, dialledAtMs);
      tcp.once('close', () => this.#dials.delete(end));
      const connected = await connect(tcp);
      carrier = connected.socket;
      return connected;
    };
    return connector;
  }

  #refuseIfOver(): void {
    if (this.#isOver) throw new Error('the client is closed');
  }

  #lookForBytes(tcp: Socket, dialledAtMs: number): void {
    if (tcp.destroyed) return;
    if (tcp.bytesRead > 0) this.#answered = { dialledAtMs, firstBytesAfterMs: clock.now() - dialledAtMs };
    else after(LOOK_EVERY_MS, () => this.#lookForBytes(tcp, dialledAtMs), true);
  }
}

function addressOf({ cachedServices }: DiallingHost, connector: Connector): Subchannel['subchannelAddress'] {
  for (const service of Object.values(cachedServices))
    for (const { child } of service?.getChannel?.().internalChannel?.wrappedSubchannels ?? [])
      if (child?.secureConnector === connector) return child.subchannelAddress;
  return undefined;
}
