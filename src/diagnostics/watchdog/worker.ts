import type { MessagePort } from 'node:worker_threads';
import type { Snapshot } from '../elections.ts';
import { messageOf } from '../errors.ts';
import { DiagnosticsHttpServer } from '../http/server.ts';
import { MainLink } from './main-link.ts';
import type { ServeSettings, ToWorker, WatchSettings } from './messages.ts';
import type { Backend } from '../http/routes.ts';
import { recordMain } from '../profile/record-main.ts';
import { Watcher } from './watcher.ts';
import { withWatchdogMetrics } from './watchdog-metrics.ts';

/**
 * How long a page waits for the main thread, in milliseconds. After that it shows the last known elections, and `/metrics`
 * lacks the metrics of the service.
 */
const TELL_WITHIN_MS = { snapshot: 500, metrics: 2_000 };

/** The program of the worker, which gets its code as text from worker-source.ts. */
export function runWorker(port: MessagePort, settings: WatchSettings): void {
  const link = new MainLink(port);
  const watcher = new Watcher(link, settings);
  const servers = new Map<number, DiagnosticsHttpServer>();

  const serve = async (id: number, wanted: ServeSettings): Promise<void> => {
    const opened = new DiagnosticsHttpServer(backend(link, watcher, settings, wanted), wanted);
    try {
      link.post({ type: 'served', id, port: await opened.listen(wanted), error: undefined });
      servers.set(wanted.server, opened);
    } catch (error) {
      link.post({ type: 'served', id, port: 0, error: messageOf(error) });
    }
  };
  const unserve = async (server: number): Promise<void> => {
    const open = servers.get(server);
    servers.delete(server);
    await open?.close();
  };

  port.on('message', (message: ToWorker) => {
    link.receive(message);
    if (message.type === 'answer') watcher.answered(message);
    else if (message.type === 'tripped') watcher.tripped(message);
    else if (message.type === 'serve') void serve(message.id, message.settings);
    else if (message.type === 'unserve')
      void unserve(message.server).then(() => link.post({ type: 'unserved', id: message.id }));
    else if (message.type === 'stop') {
      watcher.stop();
      void Promise.all([...servers.keys()].map(unserve)).then(() => link.close());
    }
  });
  link.post({ type: 'ready' });
}

function backend(
  link: MainLink,
  watcher: Watcher,
  settings: WatchSettings,
  { hasMetrics, server }: ServeSettings,
): Backend {
  const isStarved = (): boolean => watcher.isStarved;
  return {
    profile: (seconds, signal) => recordMain(settings, { durationMs: seconds * 1000, signal }),
    isTurning: async () => !isStarved() && (await link.isTurning(settings.stallMs)),
    runaways: () => watcher.reports.runaways,
    notices: () => watcher.reports.notices,
    async snapshot() {
      const told = isStarved() ? undefined : await link.request('snapshot', server, TELL_WITHIN_MS.snapshot);
      return told === undefined ? link.snapshot : (JSON.parse(told) as Snapshot);
    },
    hasMetrics,
    async metrics() {
      const shown = isStarved() ? undefined : await link.request('metrics', server, TELL_WITHIN_MS.metrics);
      return withWatchdogMetrics(shown, isStarved(), watcher.reports.counts);
    },
  };
}
