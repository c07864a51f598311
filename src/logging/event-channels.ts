/**
 * One channel of `diagnostics_channel` for each event.
 */
import { channel } from 'node:diagnostics_channel';
import type { ElectionEvent, ElectionEventType } from '../events.ts';
import { lines } from './event-lines.ts';

const channels = Object.fromEntries(
  Object.keys(lines).map((type) => [type, channel(`etcd-election:${type}`)]),
) as Record<ElectionEventType, ReturnType<typeof channel>>;

/** All channel names, for subscribers to every event. */
export const channelNames: readonly string[] = Object.values(channels).map(({ name }) => String(name));

/** Where an event comes from: the event log of an `Election` object. Elections with the same name may differ in prefix or client. */
export interface EventSource {
  /** The same for all `Election` objects of one name, prefix and list of endpoints. */
  readonly key: string;
}

const sources = new WeakMap<object, EventSource>();

/** @returns undefined if another copy of this package has published the event. */
export const sourceOf = (event: ElectionEvent): EventSource | undefined => sources.get(event);

export function publish(event: ElectionEvent, source: EventSource): void {
  if (!channels[event.type].hasSubscribers) return;
  sources.set(event, source);
  channels[event.type].publish(event);
}
