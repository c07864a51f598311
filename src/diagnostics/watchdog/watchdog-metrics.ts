import { isOpenMetrics } from '../http/open-metrics.ts';
import { type Verdict, isRunaway } from '../evidence/report.ts';

/**
 * Adds the metrics of the watchdog to the metrics of the service, in the same format (Prometheus text or OpenMetrics).
 *
 * @param shown the metrics of the service. undefined if the main thread did not answer.
 */
export function withWatchdogMetrics(
  shown: string | undefined,
  isStarved: boolean,
  counts: Readonly<Record<Verdict, number>>,
): string {
  const own = shown ?? '# the main thread did not answer: its metrics are missing\n';
  const isOpen = isOpenMetrics(own);
  const described = (name: string, help: string): string[] => {
    const family = isOpen ? name.replace(/_total$/, '') : name; // in OpenMetrics only the line with the value has the suffix
    return [`# HELP ${family} ${help}`, `# TYPE ${family} ${name.endsWith('_total') ? 'counter' : 'gauge'}`];
  };
  const of = (name: string, wanted: (verdict: Verdict) => boolean): string[] =>
    (Object.entries(counts) as [Verdict, number][])
      .filter(([verdict]) => wanted(verdict))
      .map(([verdict, count]) => `${name}{verdict="${verdict}"} ${count}`);
  const lines = [
    ...described(ANSWERS, 'Whether the main thread answered the watchdog (1) or not (0).'),
    `${ANSWERS} ${shown === undefined || isStarved ? 0 : 1}`,
    ...described(RUNAWAYS, 'Runaways that the watchdog reported.'),
    ...of(RUNAWAYS, isRunaway),
    ...described(NOTICES, 'Long blocks and saturated event loops that the watchdog reported.'),
    ...of(NOTICES, (verdict) => !isRunaway(verdict)),
    '',
  ].join('\n');
  const ended = isOpen ? own.replace(/# EOF\s*$/, '') : own; // nothing may follow this mark
  return `${ended}${ended === '' || ended.endsWith('\n') ? '' : '\n'}${lines}${isOpen ? '# EOF\n' : ''}`;
}

const ANSWERS = 'etcd_election_watchdog_main_thread_answers';
const RUNAWAYS = 'etcd_election_watchdog_runaways_total';
const NOTICES = 'etcd_election_watchdog_notices_total';
