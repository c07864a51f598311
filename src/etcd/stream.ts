/**
 * A stream that is open on one host, and how it ends.
 */
import { clock } from '../util/clock.ts';
import { leftOf, type Calls } from './calls.ts';
import { etcdErrorOf, statusIn } from './etcd-error.ts';
import { onCleanStack, type Host, type HostClient } from './host.ts';
import { callOptions, type CallOptions } from './intercept.ts';
import { limited, type Limits } from './limited.ts';
import type { Use } from './uses.ts';

/** What we need of etcd3's raw duplex streams. */
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
  /** Where it is open. */
  readonly host: Host;
  /** Calls back when it has ended; etcd3's own error does not say why, for it is shown another status. */
  onLost(listener: (reason: string) => void): void;
  /** Its host has renewed a lease. */
  renewed(): void;
  /** Ends it; its host is not to blame. */
  close(): void;
  /** Ends it because the host does not answer: the connection is dropped. Later calls begin on a new one. */
  fail(): void;
  /** Ends it because the host lags behind: the next one goes elsewhere, and no connection is dropped. */
  leave(): void;
}

/** Opens a stream of etcd3's, on the client of the host that was chosen. */
export type Open<Request, Response> = (
  client: HostClient,
  options: CallOptions,
) => Promise<RawStream<Request, Response>>;

/** @param use ends with the stream. @throws {EtcdError} */
export async function openStream<Request, Response>(
  calls: Calls,
  what: string,
  open: Open<Request, Response>,
  { withinMs, signal, avoid }: Limits & { readonly avoid?: Host | undefined },
  use: Use,
): Promise<OpenStream<Request, Response>> {
  const { members } = calls;
  const how = { dueAtMs: clock.now() + withinMs, signal };
  const token = await calls.tokenFor(what, how);
  const host = (await members.choose(what, leftOf(how), { avoid }))!;
  host.dialAgain();
  let isOver = false;
  let reason: string | undefined;
  const options = callOptions({
    token,
    onCall: () => undefined,
    onMessage: (message) => (reason ??= members.complaint(host, message)),
    onFailure: (status) => {
      reason ??= status.details;
      if (!isOver) calls.failed(host, status, token);
    },
  });
  const end = (stream: RawStream<Request, Response>): void => {
    isOver = true; // what it ends with is our doing, and says nothing of the host
    use.end();
    onCleanStack(() => stream.cancel());
  };
  const opening = open(host.client, options).catch((error: unknown) => {
    throw etcdErrorOf(what, undefined, error);
  });
  const raw = await limited(what, opening, leftOf(how), end);
  const onLost = (listener: (why: string) => void): void => {
    raw.on('error', ({ message }) => listener(reason ?? statusIn(message).details));
    raw.on('end', () => listener('etcd ended the stream'));
  };
  onLost(() => use.end());
  use.clientClosed = () => end(raw);
  return { raw, host, onLost, ...endsOf(calls, host, () => end(raw)) };
}

type Ends = Pick<OpenStream<unknown, unknown>, 'renewed' | 'close' | 'fail' | 'leave'>;

function endsOf({ members: { choice } }: Calls, host: Host, end: () => void): Ends {
  return {
    renewed: () => choice.renewed(host),
    close: end,
    fail: () => {
      choice.suspect(host, 'no answer');
      end();
      host.dropSilent();
    },
    leave: () => {
      choice.suspect(host, 'it lags behind');
      end();
    },
  };
}
