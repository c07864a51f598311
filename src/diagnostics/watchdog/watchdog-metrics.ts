import type { Verdict } from '../evidence/report.ts';

/**
 * Adds what the watchdog knows to the service's own metrics, in Prometheus' text format.
 *
 * @param shown undefined where the main thread did not answer: then only ours are shown, which say so.
 */
export function withWatchdogMetrics(
  shown: string | undefined,
  isStarved: boolean,
  counts: Readonly<Record<Verdict, number>>,
): string {
  const lines = [
    '# HELP etcd_election_watchdog_main_thread_answers Whether the main thread answered the watchdog (1) or not (0).',
    '# TYPE etcd_election_watchdog_main_thread_answers gauge',
    `etcd_election_watchdog_main_thread_answers ${shown === undefined || isStarved ? 0 : 1}`,
    '# HELP etcd_election_watchdog_runaways_total Runaways reported by the watchdog.',
    '# TYPE etcd_election_watchdog_runaways_total counter',
    ...Object.entries(counts).map(
      ([verdict, count]) => `etcd_election_watchdog_runaways_total{verdict="${verdict}"} ${count}`,
    ),
    '',
  ].join('\n');
  const own = shown ?? '# the main thread did not answer: its metrics are missing\n';
  const ended = own.replace(/# EOF\s*$/, ''); // OpenMetrics ends so, and nothing may follow
  return `${ended}${ended === '' || ended.endsWith('\n') ? '' : '\n'}${lines}${ended === own ? '' : '# EOF\n'}`;
}
