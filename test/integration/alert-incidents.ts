/** Stories of one alert each: when it fires, and when it does not. */
import { a, b, c, calm, E, leads, replica, type Story } from './alert-series.ts';

export const incidents: Record<string, Story> = {
  'NobodyLeads: replicas campaign, and none leads': [
    [
      ...replica(a, { is_leader: '1x10 0x30', queue_position: '1x40' }),
      ...replica(b, { is_leader: '0x40', queue_position: '2x40' }),
    ],
    { '5m': [], '7m': [], '8m': [`NobodyLeads{${E}}`] },
  ],
  'NobodyLeads: all replicas are gone': [
    [
      ...replica(a, leads('1x10 1xstale')),
      ...replica(b, { is_leader: '0x10 stale', queue_position: '2x10 stale' }),
    ],
    { '6m': [], '8m': [`NobodyLeads{${E}}`], '60m': [`NobodyLeads{${E}}`], '67m': [] },
  ],
  'NobodyLeads: in one namespace, while another has a leader': [
    [
      ...replica({ ...a, namespace: 'prod' }, { is_leader: '0x40', queue_position: '1x40' }),
      ...replica({ ...b, namespace: 'staging' }, leads('1x40')),
    ],
    { '10m': [`NobodyLeads{namespace="prod",${E}}`] },
  ],
  'NobodyLeads: in one cluster, one job, or under one prefix': [
    [
      ...replica({ ...a, cluster: 'west' }, { is_leader: '0x40', queue_position: '1x40' }),
      ...replica({ ...b, cluster: 'east' }, leads('1x40')),
      ...replica({ ...b, job: 'other' }, { is_leader: '0x40', queue_position: '1x40' }),
      ...replica({ ...c, prefix: 'x/' }, leads('1x40')),
    ],
    { '10m': [`NobodyLeads{cluster="west",${E}}`, `NobodyLeads{job="other",${E}}`] },
  ],
  'NobodyLeads: not for an election that ended in order in a live process': [
    [...replica(a, { is_leader: '1x10 0x60', queue_position: '1x10 stale' })],
    { '10m': [], '30m': [] },
  ],
  'MoreThanOneLeads: for minutes': [
    [...replica(a, leads('1x40')), ...replica(b, leads('1x40'))],
    { '1m': [], '3m': [`MoreThanOneLeads{${E}}`] },
  ],
  'MoreThanOneLeads: not for a scrape within a hand-over, nor for two namespaces': [
    [
      ...replica({ ...a, namespace: 'prod' }, { is_leader: '1x11 0x30', queue_position: '1x11 2x30' }),
      ...replica({ ...b, namespace: 'prod' }, { is_leader: '0x9 1x30', queue_position: '2x9 1x30' }),
      ...replica({ ...c, namespace: 'staging' }, leads('1x40')),
    ],
    { '5m': [], '6m': [], '15m': [] },
  ],
  'ReplicaUnhealthy: for minutes; not for one scrape': [
    [
      ...replica(a, {
        ...leads('1x60'),
        unhealthy: '0x10 1 0x20 1x29',
        'campaigns_ended_total{reason="refused"}': '0x60',
      }),
    ],
    { '6m': [], '10m': [], '20m': [`ReplicaUnhealthy{${E}}`] },
  ],
  'CampaignRefused: without ReplicaUnhealthy': [
    [
      ...calm(b, 1),
      ...replica(a, {
        is_leader: '0x60',
        unhealthy: '1x20 0x40',
        'campaigns_ended_total{reason="refused"}': '1x60',
      }),
    ],
    { '5m': [`CampaignRefused{${E}}`], '15m': [] },
  ],
  'ReplicaUnhealthy: of a replica that was refused once and campaigns again, not CampaignRefused': [
    [
      ...replica(a, {
        is_leader: '0x10 1x80',
        queue_position: 'stale _x9 1x80',
        unhealthy: '1x10 0x20 1x58',
        'campaigns_ended_total{reason="refused"}': '1x90',
      }),
    ],
    {
      '4m': [`CampaignRefused{${E}}`],
      '8m': [],
      '14m': [],
      '16m': [],
      '20m': [`ReplicaUnhealthy{${E}}`],
      '40m': [`ReplicaUnhealthy{${E}}`],
    },
  ],
  'CampaignRefused: for the second refusal too, as long as no campaign runs': [
    [
      ...calm(b, 1),
      ...replica(a, {
        is_leader: '0x240',
        queue_position: '_x10 2x20 stale',
        unhealthy: '1x10 0x20 1x209',
        'campaigns_ended_total{reason="refused"}': '1x30 2x209',
      }),
    ],
    {
      '4m': [`CampaignRefused{${E}}`],
      '10m': [],
      '20m': [`CampaignRefused{${E}}`],
      '2h': [`CampaignRefused{${E}}`],
    },
  ],
  'WorkIgnoresItsSignal: the first time': [
    [...calm(b, 1), ...replica(a, { drains_overdue_total: '0x10 1x110' })],
    { '4m': [], '6m': [`WorkIgnoresItsSignal{${E}}`], '30m': [] },
  ],
  'NotInTheQueue and LeaseUnavailable: one replica is cut off from etcd': [
    [
      ...calm(b, 1),
      ...replica(a, {
        is_leader: '0x60',
        queue_position: '2x10 0x50',
        leader_known: '1x10 0x50',
        lease_ttl_seconds: '10x10 0x50',
      }),
    ],
    { '6m': [], '8m': ['LeaseUnavailable'], '11m': ['LeaseUnavailable', `NotInTheQueue{${E}}`] },
  ],
  'NotInTheQueue: not for a campaign that has ended': [
    [...calm(b, 1), ...replica(a, { is_leader: '0x60', lease_ttl_seconds: '0x60' })],
    { '20m': [] },
  ],
  'LeaderUnknown: it campaigns, and sees no leader': [
    [
      ...calm(b, 1),
      ...replica(a, {
        is_leader: '0x60',
        queue_position: '2x60',
        leader_known: '1x10 0x50',
        lease_ttl_seconds: '10x60',
      }),
    ],
    { '9m': [], '11m': [`LeaderUnknown{${E}}`] },
  ],
  'TermsLost: three within 15 minutes, by one reason': [
    [...calm(b, 1), ...replica(a, { 'terms_ended_total{reason="lease-lost"}': '0x10 1x4 2x4 3x100' })],
    { '9m': [], '12m': [`TermsLost{${E}}`], '30m': [] },
  ],
  'TermsLost: not for two lost terms, and not for orderly ends': [
    [
      ...calm(b, 1),
      ...replica(a, {
        'terms_ended_total{reason="lease-lost"}': '0x10 1x4 2x100',
        'terms_ended_total{reason="closed"}': '0+1x120',
        'terms_ended_total{reason="stepped-down"}': '0+1x120',
      }),
    ],
    { '8m': [], '12m': [], '20m': [] },
  ],
  'TermsAreShort: several lost terms of half a minute': [
    [
      ...calm(b, 1),
      ...replica(a, {
        'terms_ended_total{reason="work-failed"}': '0x10 1x20 2x20 3x60',
        'term_duration_seconds_bucket{le="10"}': '0x110',
        'term_duration_seconds_bucket{le="60"}': '0x10 1x20 2x20 3x60',
        'term_duration_seconds_bucket{le="+Inf"}': '0x10 1x20 2x20 3x60',
      }),
    ],
    { '16m': [], '30m': [`TermsAreShort{${E}}`] },
  ],
  'TermsAreShort: not for one term of 30 s, nor for short terms of a deployment': [
    [
      ...calm(b, 1),
      ...replica(a, {
        'terms_ended_total{reason="work-failed"}': '0x10 1x110',
        'terms_ended_total{reason="closed"}': '0x20 1x2 2x2 3x2 4x90',
        'term_duration_seconds_bucket{le="10"}': '0x120',
        'term_duration_seconds_bucket{le="60"}': '0x10 1x10 2x2 3x2 4x2 5x90',
        'term_duration_seconds_bucket{le="+Inf"}': '0x10 1x10 2x2 3x2 4x2 5x90',
      }),
    ],
    { '6m': [], '20m': [], '40m': [] },
  ],
  'CallbacksFail: three times within the hour, not twice': [
    [...calm(b, 1), ...replica(a, { 'callbacks_failed_total{callback="onLeader"}': '0x10 1x20 2x20 3x200' })],
    { '24m': [], '27m': [`CallbacksFail{${E}}`], '90m': [] },
  ],
  'LeasesLost: three within the hour, not one': [
    [...calm(b, 1), ...replica(a, { 'leases_lost_total{reason="lease-lost"}': '0x10 1x20 3x80' })],
    { '14m': [], '17m': ['LeasesLost'] },
  ],
  'RenewalsSlow: for long, not for one slow minute': [
    [
      ...replica(a, {
        'renewal_round_trip_seconds_bucket{le="1"}': '0+9x20 180x1 189+9x60 729+5x80',
        'renewal_round_trip_seconds_bucket{le="2.5"}': '0+9x20 180x1 189+9x60 729+9x80',
        'renewal_round_trip_seconds_bucket{le="+Inf"}': '0+9x20 180x1 189+9x60 729+9x80',
      }),
    ],
    { '12m': [], '40m': [], '65m': ['RenewalsSlow'] },
  ],
  'HeadroomSmall: less than a fifth of the TTL is left': [
    [
      ...replica(a, {
        lease_ttl_seconds: '10x120',
        'renewal_headroom_seconds_bucket{le="1.5"}': '0x60 0+1x60',
        'renewal_headroom_seconds_bucket{le="5"}': '0x60 0+1x60',
        'renewal_headroom_seconds_bucket{le="6"}': '0+9x120',
        'renewal_headroom_seconds_bucket{le="+Inf"}': '0+9x120',
      }),
      // Another job, for whose TTL that duration would be long enough.
      ...replica(
        { ...b, job: 'other' },
        {
          lease_ttl_seconds: '2x120',
          'renewal_headroom_seconds_bucket{le="0.5"}': '0x120',
          'renewal_headroom_seconds_bucket{le="1.5"}': '0+9x120',
          'renewal_headroom_seconds_bucket{le="+Inf"}': '0+9x120',
        },
      ),
    ],
    { '29m': [], '50m': ['HeadroomSmall'] },
  ],
  'HeadroomSmall: not for a TTL above 300 s, whose headroom is beyond the largest bucket': [
    [
      ...replica(a, {
        lease_ttl_seconds: '600x120',
        'renewal_headroom_seconds_bucket{le="30"}': '0x120',
        'renewal_headroom_seconds_bucket{le="60"}': '0x120',
        'renewal_headroom_seconds_bucket{le="+Inf"}': '0+9x120',
      }),
    ],
    { '30m': [], '55m': [] },
  ],
  'WatchUnsteady: for one replica; not for a restart of etcd with twenty': [
    [
      ...calm(b, 1),
      ...Array.from({ length: 20 }, (_, i) =>
        replica({ instance: `r${i}` }, { watch_resyncs_total: '0x10 3x110' }),
      ).flat(),
      ...replica(a, { watch_resyncs_total: '0x60 0+1x60' }),
    ],
    { '15m': [], '28m': [], '50m': ['WatchUnsteady'] },
  ],
  'WritesFail: for minutes; not for a moment': [
    [
      ...calm(b, 1),
      ...replica(a, {
        'writes_failed_total{outcome="unknown"}': '0x20 3x60 3+1x40 43x60',
        'writes_failed_total{outcome="not-written"}': '0x180',
      }),
    ],
    {
      '11m': [],
      '17m': [],
      '45m': [],
      '49m': [`WritesFail{${E}}`],
      '60m': [`WritesFail{${E}}`],
      '70m': [],
    },
  ],
  'RunawayLoop: not if etcd trips the guard long after the caller did': [
    [
      ...calm(b, 1),
      ...replica(a, {
        'guard_tripped{origin="caller"}': '0x160',
        'guard_tripped{origin="environment"}': '0x80 1x80',
        'guard_trips_total{origin="caller"}': '3x160',
        'guard_trips_total{origin="environment"}': '0x80 1x80',
      }),
    ],
    { '30m': [], '45m': [], '60m': [] },
  ],
  'RunawayLoop: from the first trip until the guard recovers': [
    [
      ...calm(b, 1),
      ...replica(a, {
        'guard_tripped{origin="caller"}': '0x10 1x80 0x30',
        'guard_trips_total{origin="caller"}': '0x10 1x110',
      }),
    ],
    { '4m': [], '6m': [`RunawayLoop{${E}}`], '40m': [`RunawayLoop{${E}}`], '50m': [] },
  ],
  'RunawayLoop: not for trouble in the environment': [
    [
      ...calm(b, 1),
      ...replica(a, {
        'guard_tripped{origin="environment"}': '0x10 1x110',
        'guard_trips_total{origin="environment"}': '0x10 1x110',
        'guard_trips_total{origin="caller"}': '0x120',
      }),
    ],
    { '6m': [], '40m': [] },
  ],
  'RunawayReported and MainThreadSilent: by the watchdog': [
    [
      ...calm(b, 1),
      {
        series: 'etcd_election_watchdog_runaways_total{job="svc",instance="a",verdict="hot"}',
        values: '0x10 1x110',
      },
      { series: 'etcd_election_runaways_total{job="svc",instance="b",verdict="hot"}', values: '0x60 1x60' },
      {
        series: 'etcd_election_watchdog_main_thread_answers{job="svc",instance="a"}',
        values: '1x10 0 1x20 0x60',
      },
    ],
    {
      '4m': [],
      '7m': ['RunawayReported'],
      '18m': ['RunawayReported', 'MainThreadSilent'],
      '25m': ['MainThreadSilent'],
      '31m': ['RunawayReported', 'MainThreadSilent'],
      '60m': [],
    },
  ],
};
