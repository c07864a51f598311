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
  readonly subchannelAddress?: { readonly host?: string; readonly port?: number; signal?: AbortSignal };
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
  /** The IP address and port to which the client has connected last; undefined if it has not, or if that is unknown. */
  readonly connectedTo: string | undefined;
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

/** @param avoided addresses that are dialled only if the name has no other address. */
export function trackDials(hosts: readonly DiallingHost[], avoided: ReadonlySet<string>): Dials {
  const dials = new TrackedDials(avoided);
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
  readonly #avoided: ReadonlySet<string>;
  hasBegun = false;
  connectedTo: string | undefined;
  #isOver = false;
  #answered: AnsweredDial | undefined;

  constructor(avoided: ReadonlySet<string>) {
    this.#avoided = avoided;
  }

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
    let shown: string | undefined;
    connector.waitForReady = async () => {
      this.#dials.delete(endDial); // the previous dial, if any, has failed
      await waitForReady();
      this.#refuseIfOver();
      const subchannels = subchannelsOf(host);
      const address = subchannels.find((one) => one.secureConnector === connector)?.subchannelAddress;
      shown = shownAddress(address);
      this.#refuseIfAvoided(shown, subchannels);
      dialledAtMs = clock.now();
      const abort = new AbortController();
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
      this.connectedTo = shown;
      return connected;
    };
    return connector;
  }

  #refuseIfOver(): void {
    if (this.#isOver) throw new Error('the client is closed');
  }

  /** gRPC dials the next address when a dial is refused. */
  #refuseIfAvoided(address: string | undefined, all: readonly Subchannel[]): void {
    if (address === undefined || !this.#avoided.has(address)) return;
    const isOnly = all.every((one) => this.#avoided.has(shownAddress(one.subchannelAddress) ?? address));
    if (!isOnly) throw new Error(`the member at ${address} could not serve us`);
  }

  #lookForBytes(tcp: Socket, dialledAtMs: number): void {
    if (tcp.destroyed) return;
    if (tcp.bytesRead > 0) this.#answered = { dialledAtMs, firstBytesAfterMs: clock.now() - dialledAtMs };
    else after(LOOK_EVERY_MS, () => this.#lookForBytes(tcp, dialledAtMs), true);
  }
}

/** The addresses to which gRPC has resolved the name of the host. */
const subchannelsOf = ({ cachedServices }: DiallingHost): readonly Subchannel[] =>
  Object.values(cachedServices)
    .flatMap((service) => [...(service?.getChannel?.().internalChannel?.wrappedSubchannels ?? [])])
    .flatMap(({ child }) => child ?? []);

const shownAddress = (address: Subchannel['subchannelAddress']): string | undefined =>
  address?.host === undefined ? undefined : `${address.host}:${address.port}`;
