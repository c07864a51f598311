import { type Verdict, isRunaway } from '../evidence/report.ts';

/**
 * Adds the metrics of the watchdog to those of the service, in Prometheus' text format.
 *
 * @param shown the metrics of the service. undefined if the main thread did not answer: then only ours are shown.
 */
export function withWatchdogMetrics(
  shown: string | undefined,
  isStarved: boolean,
  counts: Readonly<Record<Verdict, number>>,
): string {
  const of = (name: string, wanted: (verdict: Verdict) => boolean): string[] =>
    (Object.entries(counts) as [Verdict, number][])
      .filter(([verdict]) => wanted(verdict))
      .map(([verdict, count]) => `${name}{verdict="${verdict}"} ${count}`);
  const lines = [
    '# HELP etcd_election_watchdog_main_thread_answers Whether the main thread answered the watchdog (1) or not (0).',
    '# TYPE etcd_election_watchdog_main_thread_answers gauge',
    `etcd_election_watchdog_main_thread_answers ${shown === undefined || isStarved ? 0 : 1}`,
    '# HELP etcd_election_watchdog_runaways_total Runaways that the watchdog reported.',
    '# TYPE etcd_election_watchdog_runaways_total counter',
    ...of('etcd_election_watchdog_runaways_total', isRunaway),
    '# HELP etcd_election_watchdog_notices_total Long blocks and saturated event loops that the watchdog reported.',
    '# TYPE etcd_election_watchdog_notices_total counter',
    ...of('etcd_election_watchdog_notices_total', (verdict) => !isRunaway(verdict)),
    '',
  ].join('\n');
  const own = shown ?? '# the main thread did not answer: its metrics are missing\n';
  const ended = own.replace(/# EOF\s*$/, ''); // the end mark of OpenMetrics, after which nothing may follow
  return `${ended}${ended === '' || ended.endsWith('\n') ? '' : '\n'}${lines}${ended === own ? '' : '# EOF\n'}`;
}
