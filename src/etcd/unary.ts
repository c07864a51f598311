/**
 * Sends one call once to one host, within its time limit.
 */
import { afterTurn } from '../util/clock.ts';
import { EtcdError, etcdErrorOf, type GrpcStatus } from './etcd-error.ts';
import { onCleanStack, type HostClient } from './host.ts';
import { SILENT_AFTER_MS } from './host-selector.ts';
import { foreign } from './members.ts';
import { callOptions, HIDDEN, type CallOptions, type OngoingCall } from './intercept.ts';

/** A host that had less time than this, in milliseconds, does not count as silent. */
const FAIR_MS = 250;

export type Invoke<T> = (client: HostClient, options: CallOptions) => Promise<T>;

export interface CallRequest<T> {
  /** What was tried, for error messages. */
  readonly what: string;
  readonly client: HostClient;
  readonly invoke: Invoke<T>;
  readonly token: string | undefined;
  readonly withinMs: number;
  readonly signal: AbortSignal | undefined;
  /** How much longer the host may stay silent, in milliseconds. */
  readonly patienceMs: () => number;
  /** Called at most once: when the host is silent, at the latest when the time limit passes. */
  readonly onSilent: () => void;
  readonly onTimeout: () => void;
  /** Ends the message for a host that does not answer. */
  readonly whySilent: () => string;
  /** @returns why the answer does not count; undefined if it counts. */
  readonly onMessage: (message: unknown) => string | undefined;
  readonly onFailure: (status: GrpcStatus) => void;
  /** Makes a readable text of what gRPC or etcd said. */
  readonly telling: (said: string) => string;
}

/** @throws {EtcdError} */
export function askOnce<T>(ask: CallRequest<T>): Promise<T> {
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
      const why = ask.whySilent(); // before the connection is dropped
      if (withinMs >= FAIR_MS) {
        endListening(true);
        ask.onTimeout();
      }
      stop('unavailable', `no answer within ${Math.round(withinMs)} ms${why}`);
    });
    const cleanUp = (): void => {
      cancelTimer();
      endListening(false);
      signal?.removeEventListener('abort', abort);
    };
    if (signal?.aborted === true) return abort();
    signal?.addEventListener('abort', abort, { once: true });
    // A method that the user has wrapped may throw instead of rejecting.
    const send = async (): Promise<T> => await invoke(client, optionsOf(ask, call));
    send().then(
      (answer) => {
        cleanUp();
        resolve(answer);
      },
      (error: unknown) => {
        cleanUp();
        reject(call.over ?? etcdErrorOf(what, call.status, error, ask.telling));
      },
    );
  });
}

interface Sent {
  /** Set when the call is sent. */
  ongoing: OngoingCall | undefined;
  /** gRPC's status at the end of the call. */
  status: GrpcStatus | undefined;
  /** Why the answer no longer counts. */
  over: EtcdError | undefined;
}

const optionsOf = (ask: CallRequest<unknown>, call: Sent): CallOptions =>
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

/** @returns a function that ends the wait. `true` means that the call reached its limit, which counts as silence. */
function listenForSilence({
  withinMs,
  patienceMs,
  onSilent,
}: CallRequest<unknown>): (isSilent: boolean) => void {
  let cancelTimer = (): void => undefined;
  let isTold = false;
  const tell = (): void => {
    if (isTold) return; // a second report could make a suspect of a host that has answered other calls since
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
  // If this host is silent, another may be asked, and needs time too. So in a short call a host counts as silent after
  // half of the limit, but never before `FAIR_MS`.
  listen(Math.max(FAIR_MS, Math.min(SILENT_AFTER_MS, withinMs / 2)));
  return (isSilent) => {
    cancelTimer();
    if (isSilent) tell();
  };
}
