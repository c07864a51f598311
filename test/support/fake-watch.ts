/** A fake etcd for tests of the shared watch: what its streams answer is up to the test. */
import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { IWatchResponse } from 'etcd3';
import { History } from '../../src/etcd/history.ts';
import type { EtcdTransport, OpenStream } from '../../src/etcd/transport.ts';
import type { WatchRequest } from '../../src/etcd/watch-stream.ts';
import type { WatchTarget } from '../../src/etcd/watch-target.ts';
import { SharedWatch, type SharedWatchTools } from '../../src/etcd/watch.ts';

/** A request for a watch. */
export type Asked = WatchRequest & { readonly watch_id: number };

const nothing = (): void => undefined;

/** A message of etcd at revision 9. */
export const message = (more: Partial<Record<keyof IWatchResponse, unknown>>): IWatchResponse =>
  ({
    header: { revision: '9' },
    watch_id: '0',
    created: false,
    canceled: false,
    cancel_reason: '',
    compact_revision: '0',
    events: [],
    ...more,
  }) as never;

/** A probe watches an empty range, which etcd refuses. */
export const isProbe = ({ key, range_end }: Asked): boolean =>
  range_end !== undefined && key?.equals(range_end) === true;

export const PROBED = { canceled: true, cancel_reason: 'mvcc: watcher range is empty' };

/** What etcd answers to a new watch or probe. */
export const created = (asked: Asked): IWatchResponse =>
  message({ watch_id: String(asked.watch_id), created: true, ...(isProbe(asked) && PROBED) });

/** An open stream. Messages of etcd are its `data` events. */
export function fakeStream(onAsked: (asked: Asked, raw: EventEmitter) => void): EventEmitter {
  const raw = new EventEmitter();
  const write = ({ create_request: asked }: { create_request?: Asked }): void => {
    if (asked !== undefined) onAsked(asked, raw);
  };
  return Object.assign(raw, { write });
}

/**
 * @param open a stream of {@link fakeStream}, each time that one is opened.
 * @param paceMs delay of every try to restore watches, in milliseconds.
 */
export function watchThrough(
  open: () => EventEmitter,
  paceMs: number,
  listener: Partial<SharedWatchTools> = {},
): SharedWatch {
  const stream = (): Promise<OpenStream<never, never>> =>
    Promise.resolve({
      raw: open(),
      onLost: nothing,
      close: nothing,
      fail: nothing,
      leave: nothing,
    } as never);
  const transport: Partial<EtcdTransport> = {
    history: new History(),
    provenAtMs: Number.POSITIVE_INFINITY,
    stream: stream as EtcdTransport['stream'],
  };
  return new SharedWatch({
    transport: transport as EtcdTransport,
    backoff: { pass: () => sleep(paceMs), healthyFor: nothing, wake: nothing },
    onLost: nothing,
    onHealed: nothing,
    onUnconfirmed: nothing,
    onProxied: nothing,
    ...listener,
  });
}

/** A range that the test reads by `reload`. */
export const rangeOf = (
  keyPrefix: string,
  reload: WatchTarget['reload'],
  more: Partial<WatchTarget> = {},
): WatchTarget => ({
  keyPrefix,
  keys: () => undefined,
  reload,
  onEvents: nothing,
  onConfirmed: nothing,
  onRefused: nothing,
  ...more,
});
