/**
 * What the stories of the alerts consist of: the series of some replicas over time, in the notation of promtool, and the
 * alerts that fire at given times.
 */

/**
 * In promtool's notation, two samples a minute: `0x9` is ten zeros. `stale` is a failed scrape, or a target that
 * is gone.
 */
type Values = string;
/** Keyed by metric (without `etcd_election_`) or `metric{label="…"}`. */
type Series = Readonly<Record<string, Values>>;

interface Target {
  readonly [label: string]: string;
}

/** The series of one replica. */
export function replica(target: Target, series: Series): { series: string; values: string }[] {
  return Object.entries(series).map(([metric, values]) => {
    const [, name = '', labels = ''] = /^(\w+)(?:\{(.*)\})?$/.exec(metric)!;
    const ofProcess = /^(lease|renewal|watch)/.test(name);
    const own = Object.entries({ job: 'svc', ...(ofProcess ? {} : { election: 'e' }), ...target }).map(
      ([label, value]) => `${label}="${value}"`,
    );
    return {
      series: `etcd_election_${name}{${[...own, labels].filter(Boolean).join(',')}}`,
      values: values.replace(/(\d+)xstale/g, (_, times: string) =>
        Array(Number(times)).fill('stale').join(' '),
      ),
    };
  });
}

export const a = { instance: 'a' };
export const b = { instance: 'b' };
export const c = { instance: 'c' };

export const leads = (minutes: string): Series => ({ is_leader: minutes, queue_position: minutes });

/** A quiet replica: leads (1) or waits (0) for two hours. */
export function calm(target: Target, isLeader: 0 | 1): { series: string; values: string }[] {
  return replica(target, {
    is_leader: `${isLeader}x240`,
    leader_known: '1x240',
    queue_position: `${2 - isLeader}x240`,
    unhealthy: '0x240',
    'guard_tripped{origin="caller"}': '0x240',
    'guard_tripped{origin="environment"}': '0x240',
    lease_ttl_seconds: '10x240',
    'guard_trips_total{origin="caller"}': '0x240',
    'guard_trips_total{origin="environment"}': '0x240',
    'campaigns_ended_total{reason="refused"}': '0x240',
    'terms_ended_total{reason="closed"}': '0x240',
    'terms_ended_total{reason="lease-lost"}': '0x240',
    drains_overdue_total: '0x240',
    'callbacks_failed_total{callback="onLeader"}': '0x240',
    'leases_lost_total{reason="lease-lost"}': '0x240',
    watch_resyncs_total: '0x240',
    'term_duration_seconds_bucket{le="60"}': '0x240',
    'term_duration_seconds_bucket{le="+Inf"}': '0x240',
    'renewal_round_trip_seconds_bucket{le="0.01"}': '0+9x240',
    'renewal_round_trip_seconds_bucket{le="+Inf"}': '0+9x240',
    'renewal_headroom_seconds_bucket{le="5"}': '0x240',
    'renewal_headroom_seconds_bucket{le="6"}': '0+9x240',
    'renewal_headroom_seconds_bucket{le="+Inf"}': '0+9x240',
  });
}

export type Story = readonly [
  series: { series: string; values: string }[],
  firing: Record<string, readonly string[]>,
];

export const E = 'election="e"';
