/**
 * One call, sent once to one host, within its limit.
 */
import { afterTurn } from '../util/clock.ts';
import { EtcdError, etcdErrorOf, type GrpcStatus } from './etcd-error.ts';
import { onCleanStack, type HostClient } from './host.ts';
import { SILENT_AFTER_MS } from './host-selector.ts';
import { foreign } from './members.ts';
import { callOptions, HIDDEN, type CallOptions, type OngoingCall } from './intercept.ts';

/** Makes a call of etcd3's, on the client of the host that was chosen. */
export type Invoke<T> = (client: HostClient, options: CallOptions) => Promise<T>;

export interface Ask<T> {
  /** Said in errors: what was tried. */
  readonly what: string;
  readonly client: HostClient;
  readonly invoke: Invoke<T>;
  readonly token: string | undefined;
  readonly withinMs: number;
  readonly signal: AbortSignal | undefined;
  /** How much longer its host may keep silent, in milliseconds. */
  readonly patienceMs: () => number;
  /** Its host does not answer: called once, at the latest when the limit is reached. */
  readonly onSilent: () => void;
  readonly onTimeout: () => void;
  /** @returns why the answer counts for nothing. */
  readonly onMessage: (message: unknown) => string | undefined;
  readonly onFailure: (status: GrpcStatus) => void;
}

/** @throws {EtcdError} */
export function askOnce<T>(ask: Ask<T>): Promise<T> {
  const { what, client, invoke, withinMs, signal } = ask;
  return new Promise<T>((resolve, reject) => {
    const call: Sent = { ongoing: undefined, status: undefined, over: undefined };
    const stop = (kind: 'unavailable' | 'aborted', said: string): void => {
      const { ongoing } = call;
      call.over = new EtcdError(kind, `${what}: ${said}`, ongoing !== undefined);
      if (ongoing !== undefined) onCleanStack(() => ongoing.cancelWithStatus(HIDDEN, said));
      cleanUp();
      reject(call.over);
    };
    const abort = (): void => stop('aborted', 'aborted');
    const endListening = listenForSilence(ask);
    const cancelTimer = afterTurn(withinMs, () => {
      endListening(true);
      ask.onTimeout();
      stop('unavailable', `no answer within ${Math.round(withinMs)} ms`);
    });
    const cleanUp = (): void => {
      cancelTimer();
      endListening(false);
      signal?.removeEventListener('abort', abort);
    };
    if (signal?.aborted === true) return abort();
    signal?.addEventListener('abort', abort, { once: true });
    invoke(client, optionsOf(ask, call)).then(
      (answer) => {
        cleanUp();
        resolve(answer);
      },
      (error: unknown) => {
        cleanUp();
        reject(call.over ?? etcdErrorOf(what, call.status, error));
      },
    );
  });
}

/** What has become of a call. */
interface Sent {
  /** Set when it is sent. */
  ongoing: OngoingCall | undefined;
  /** What gRPC said at its end. */
  status: GrpcStatus | undefined;
  /** Why its answer counts for nothing. */
  over: EtcdError | undefined;
}

const optionsOf = (ask: Ask<unknown>, call: Sent): CallOptions =>
  callOptions({
    token: ask.token,
    onCall: (ongoing) => {
      if (call.over !== undefined) throw call.over;
      call.ongoing = ongoing;
    },
    onMessage: (message) => {
      const complaint = ask.onMessage(message);
      if (complaint !== undefined) call.over ??= foreign(ask.what, complaint);
      return complaint;
    },
    onFailure: (status) => {
      call.status = status;
      if (call.over === undefined) ask.onFailure(status);
    },
  });

/** @returns what ends it: with `true` it counts as silence that the call has used up its limit. */
function listenForSilence({ patienceMs, onSilent }: Ask<unknown>): (isSilent: boolean) => void {
  let cancelTimer = (): void => undefined;
  let isTold = false;
  const tell = (): void => {
    if (isTold) return; // what its host has said since counts for more than the end of this call
    isTold = true;
    onSilent();
  };
  const listen = (forMs: number): void => {
    cancelTimer = afterTurn(forMs, () => {
      const leftMs = patienceMs();
      if (leftMs > 0) listen(leftMs);
      else tell();
    });
  };
  listen(SILENT_AFTER_MS);
  return (isSilent) => {
    cancelTimer();
    if (isSilent) tell();
  };
}
