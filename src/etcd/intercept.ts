/**
 * Intercepts a call of etcd3: adds metadata, checks the answer, and replaces the status that etcd3 sees.
 */
import type { KVClient } from 'etcd3';
import { withText, type GrpcStatus } from './etcd-error.ts';
import { onCleanStack } from './host.ts';

export type CallOptions = NonNullable<Parameters<KVClient['range']>[1]>;
type Interceptor = NonNullable<CallOptions['interceptors']>[number];
export type OngoingCall = ReturnType<Parameters<Interceptor>[1]>;

export interface CallHooks {
  readonly token: string | undefined;
  /** If it throws, the call is not sent. */
  readonly onCall: (call: OngoingCall) => void;
  /** @returns why a message does not count; undefined if it counts. The call fails with that reason. */
  readonly onMessage: (message: unknown) => string | undefined;
  readonly onFailure: (status: GrpcStatus) => void;
}

/**
 * FAILED_PRECONDITION: the status that we show to etcd3. For most other codes etcd3 closes all connections of the
 * host, even sound ones.
 */
export const HIDDEN = 9;

/** etcd3 repeats a call without limit if its error contains these words. */
const REPEATED_BY_ETCD3 = 'invalid auth token';

/** Options with which etcd3 sends a call once, without a deadline. */
export function callOptions({ token, onCall, onMessage, onFailure }: CallHooks): CallOptions {
  const interceptor: Interceptor = (options, nextCall) => {
    const call = nextCall(options);
    onCall(call);
    const start = call.start.bind(call);
    let ended: string | undefined;
    call.start = (metadata, listener) =>
      start(withOurs(metadata, token), {
        ...listener,
        onReceiveMetadata: (received) => listener?.onReceiveMetadata?.(received),
        onReceiveMessage: (message: unknown) => {
          if (ended !== undefined) return;
          ended = message === null ? undefined : onMessage(message);
          if (ended === undefined) listener?.onReceiveMessage?.(message);
          else onCleanStack(() => call.cancelWithStatus(HIDDEN, 'the answer does not count'));
        },
        onReceiveStatus: (status) => {
          if (ended !== undefined)
            return listener?.onReceiveStatus?.({ ...status, code: HIDDEN, details: ended });
          if (status.code === 0) return listener?.onReceiveStatus?.(status);
          const failure = withText(status);
          onFailure(failure);
          const details = failure.details.replace(REPEATED_BY_ETCD3, 'auth token is not valid');
          listener?.onReceiveStatus?.({ ...status, code: HIDDEN, details });
        },
      });
    return call as ReturnType<Interceptor>; // the declared type is gRPC's class, but gRPC only uses the interface
  };
  return { interceptors: [interceptor], deadline: Infinity };
}

function withOurs<M extends { clone(): M; set(key: string, value: string): void }>(
  metadata: M,
  token: string | undefined,
): M {
  const own = metadata.clone(); // etcd3 shares one object among all its calls
  // With this header, a member that loses its leader ends the stream. Otherwise it would keep the stream open and
  // silent.
  own.set('hasleader', 'true');
  if (token !== undefined && token !== '') own.set('token', token);
  return own;
}
