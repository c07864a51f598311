/** Stories in which no alert may fire. */
import { a, b, c, calm, leads, replica, type Story } from './alert-series.ts';

export const ordinaryDays: Record<string, Story> = {
  'silent: an hour without any event': [
    [...calm(a, 1), ...calm(b, 0), ...calm(c, 0)],
    { '10m': [], '30m': [], '59m': [] },
  ],
  'silent: one replica is down, the others go on': [
    [
      ...calm(a, 1),
      ...replica(b, {
        is_leader: '0x20 stale',
        queue_position: '2x20 stale',
        leader_known: '1x20 stale',
        lease_ttl_seconds: '10x20 stale',
      }),
    ],
    { '11m': [], '15m': [], '30m': [] },
  ],
  'silent: the leader is killed, and its successor leads': [
    [
      ...replica(a, leads('1x20 stale')),
      ...replica(b, { is_leader: '0x21 1x40', queue_position: '2x21 1x40' }),
    ],
    { '10m': [], '11m': [], '13m': [], '20m': [] },
  ],
  'silent: a rolling restart, each replica away for a minute': [
    [
      ...replica(a, {
        is_leader: '1x20 stale stale 0x40',
        queue_position: '1x20 stale stale 3x40',
        'terms_ended_total{reason="closed"}': '1x20 stale stale 0x40',
      }),
      ...replica(b, {
        is_leader: '0x21 1x3 stale stale 0x40',
        queue_position: '2x21 1x3 stale stale 3x40',
        'terms_ended_total{reason="closed"}': '1x24 stale stale 0x40',
      }),
      ...replica(c, {
        is_leader: '0x25 1x3 stale stale 0x40',
        queue_position: '3x25 1x3 stale stale 3x40',
        'terms_ended_total{reason="closed"}': '1x28 stale stale 0x40',
      }),
      ...replica({ instance: 'd' }, { is_leader: '_x22 0x7 1x40', queue_position: '_x22 2x7 1x40' }),
    ],
    { '11m': [], '12m': [], '13m': [], '14m': [], '15m': [], '16m': [], '20m': [], '30m': [] },
  ],
  'silent: a deployment that stops all before it starts all, in 90 s': [
    [
      ...replica(a, leads('1x20 stale')),
      ...replica(b, { is_leader: '0x20 stale', queue_position: '2x20 stale' }),
      ...replica({ instance: 'a2' }, leads('_x24 1x60')),
      ...replica({ instance: 'b2' }, { is_leader: '_x24 0x60', queue_position: '_x24 2x60' }),
    ],
    { '11m': [], '12m': [], '13m': [], '20m': [] },
  ],
  'silent: a minute without any scrape, failed or left out': [
    [
      ...replica(a, {
        is_leader: '1x20 stale stale 1x20 _ _ 1x40',
        queue_position: '1x20 stale stale 1x20 _ _ 1x40',
      }),
      ...replica(b, {
        is_leader: '0x20 stale stale 0x20 _ _ 0x40',
        queue_position: '2x20 stale stale 2x20 _ _ 2x40',
      }),
    ],
    { '10m': [], '11m': [], '12m': [], '21m': [], '23m': [] },
  ],
  'silent: counters start again at 0 with a new process': [
    [
      ...calm(b, 1),
      ...replica(a, {
        drains_overdue_total: '7x20 0x100',
        'callbacks_failed_total{callback="onLeader"}': '9x20 0x100',
        'terms_ended_total{reason="lease-lost"}': '9x20 0x100',
        'leases_lost_total{reason="lease-lost"}': '9x20 0x100',
        watch_resyncs_total: '99x20 0x100',
        'guard_trips_total{origin="caller"}': '9x20 0x100',
        guard_tripped: '0x120',
      }),
    ],
    { '11m': [], '20m': [], '40m': [] },
  ],
};
