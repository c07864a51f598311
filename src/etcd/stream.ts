/**
 * Opens and ends a stream on one host.
 */
import { clock } from '../util/clock.ts';
import { leftOf, type Calls } from './calls.ts';
import { etcdErrorOf, statusIn } from './etcd-error.ts';
import { onCleanStack, type Host, type HostClient } from './host.ts';
import { callOptions, type CallOptions } from './intercept.ts';
import { limited, type TimeLimits } from './limited.ts';
import type { Use } from './uses.ts';

export interface RawStream<Request, Response> {
  on(event: 'data', listener: (message: Response) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'end', listener: () => void): unknown;
  write(request: Request): unknown;
  end(): unknown;
  cancel(): unknown;
}

export interface OpenStream<Request, Response> {
  readonly raw: RawStream<Request, Response>;
  readonly host: Host;
  /**
   * Calls back with etcd's reason when the stream has ended. etcd3's own error contains a replaced status
   * (intercept.ts).
   */
  onLost(listener: (reason: string) => void): void;
  renewed(): void;
  /** Ends the stream. */
  close(): void;
  /** Ends the stream because the host does not answer, and drops the connection. The host becomes a suspect. */
  fail(): void;
  /** Ends the stream because the host lags behind, and keeps the connection. The host becomes a suspect. */
  leave(): void;
}

export type Open<Request, Response> = (
  client: HostClient,
  options: CallOptions,
) => Promise<RawStream<Request, Response>>;

/** @param use keeps the connections open; it ends with the stream. @throws {EtcdError} */
export async function openStream<Request, Response>(
  calls: Calls,
  what: string,
  open: Open<Request, Response>,
  { withinMs, signal, avoid }: TimeLimits & { readonly avoid?: Host | undefined },
  use: Use,
): Promise<OpenStream<Request, Response>> {
  const { members } = calls;
  const how = { dueAtMs: clock.now() + withinMs, signal };
  const token = await calls.tokenFor(what, how);
  const host = (await members.choose(what, leftOf(how), { avoid }))!;
  members.dialAgain(host);
  const { client } = host;
  let isOver = false;
  let reason: string | undefined;
  const options = callOptions({
    token,
    onCall: () => undefined,
    onMessage: (message) => {
      members.answered(host, client, true); // a member without a quorum still sends messages
      return (reason ??= members.complaint(host, message));
    },
    onFailure: (status) => {
      reason ??= status.details;
      if (!isOver) calls.failed(host, client, status, token);
    },
  });
  const end = (stream: RawStream<Request, Response>): void => {
    isOver = true; // we end the stream, so its status says nothing about the host
    use.end();
    onCleanStack(() => stream.cancel());
  };
  const opening = open(client, options).catch((error: unknown) => rethrow(host, what, error));
  const raw = await limited(what, opening, leftOf(how), end);
  const onLost = (listener: (why: string) => void): void => {
    raw.on('error', ({ message }) =>
      listener(members.selector.telling(host, reason ?? statusIn(message).details)),
    );
    raw.on('end', () => listener('etcd ended the stream'));
  };
  onLost(() => use.end());
  use.clientClosed = () => end(raw);
  return { raw, host, onLost, ...endsOf(calls, host, client, () => end(raw)) };
}

function rethrow(host: Host, what: string, error: unknown): never {
  throw host.unlessDropped(what, etcdErrorOf(what, undefined, error));
}

type Ends = Pick<OpenStream<unknown, unknown>, 'renewed' | 'close' | 'fail' | 'leave'>;

function endsOf({ members }: Calls, host: Host, client: HostClient, end: () => void): Ends {
  return {
    renewed: () => members.selector.renewed(host),
    close: end,
    fail: () => {
      members.selector.suspect(host, `no answer${host.whySilent}`);
      end();
      members.silent(host, client);
    },
    leave: () => {
      members.selector.suspect(host, 'it lags behind');
      end();
    },
  };
}
