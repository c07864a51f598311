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

/** Publishes an event on its channel of `diagnostics_channel`. */
export function publish(event: ElectionEvent): void {
  if (channels[event.type].hasSubscribers) channels[event.type].publish(event);
}
