import { RefusedError, type ElectionEvent, type ElectionEventType, type Logger } from 'etcd-election';
import type { EventOf } from '../../src/events.ts';

const token = (2n ** 60n + 1n).toString();

/** One event per type; the compiler requires every type. */
export const samples: { readonly [T in ElectionEventType]: { event: EventOf<T>; level: keyof Logger } } = {
  'options.unusual': {
    event: { type: 'options.unusual', election: 'e', reason: 'ttlSeconds is 600' },
    level: 'warn',
  },
  'session.opened': {
    event: {
      type: 'session.opened',
      leaseId: '9223372036854775807',
      askedTtlSeconds: 1,
      grantedTtlSeconds: 2,
    },
    level: 'debug',
  },
  'session.renewed': {
    event: { type: 'session.renewed', leaseId: '7', roundTripMs: 1.23, headroomMs: 6_000 },
    level: 'trace',
  },
  'session.faltered': {
    event: { type: 'session.faltered', leaseId: '7', reason: 'no answer', leftMs: 4_000 },
    level: 'warn',
  },
  'watch.unconfirmed': { event: { type: 'watch.unconfirmed', silentMs: 10_000 }, level: 'warn' },
  'etcd.proxied': {
    event: { type: 'etcd.proxied', ttlSeconds: 2, isSupported: false },
    level: 'warn',
  },
  'session.recovered': { event: { type: 'session.recovered', leaseId: '7', leftMs: 10 }, level: 'info' },
  'session.lost': {
    event: { type: 'session.lost', leaseId: '7', reason: 'deadline-passed' },
    level: 'warn',
  },
  'observers.many': { event: { type: 'observers.many', election: 'e', count: 25 }, level: 'warn' },
  'session.held': { event: { type: 'session.held', holdMs: 2_100 }, level: 'warn' },
  'session.unavailable': {
    event: {
      type: 'session.unavailable',
      reason: 'refused',
      endpoints: ['http://127.0.0.1:2379', 'http://127.0.0.2:2379'],
      causes: [{ host: 'http://127.0.0.1:2379', reason: 'connect ECONNREFUSED' }],
      forMs: 0,
    },
    level: 'warn',
  },
  'session.available': { event: { type: 'session.available', afterMs: 1_000 }, level: 'info' },
  'host.away': { event: { type: 'host.away', host: '10.0.0.1:2379', reason: 'no answer' }, level: 'warn' },
  'host.back': { event: { type: 'host.back', host: '10.0.0.1:2379', afterMs: 900 }, level: 'info' },
  'host.foreign': {
    event: { type: 'host.foreign', host: '10.0.0.1:2379', clusterId: '17', ourClusterId: '16' },
    level: 'error',
  },
  'cluster.changed': {
    event: { type: 'cluster.changed', fromClusterId: '16', toClusterId: '17' },
    level: 'error',
  },
  'session.closed': { event: { type: 'session.closed', leaseId: '7' }, level: 'debug' },
  'last-will.lost': { event: { type: 'last-will.lost', reason: 'no helper' }, level: 'warn' },
  'etcd.history-lost': {
    event: { type: 'etcd.history-lost', fromRevision: '1000', toRevision: '5' },
    level: 'warn',
  },
  'watch.lost': { event: { type: 'watch.lost', reason: 'compacted' }, level: 'debug' },
  'watch.healed': { event: { type: 'watch.healed', afterMs: 100 }, level: 'debug' },
  'candidate.entered': {
    event: { type: 'candidate.entered', election: 'e', key: 'k', fencingToken: token, position: 2 },
    level: 'info',
  },
  'candidate.failed': {
    event: { type: 'candidate.failed', election: 'e', reason: 'no', isRepeated: false },
    level: 'warn',
  },
  'candidate.refused': {
    event: { type: 'candidate.refused', election: 'e', reason: 'permission denied', forMs: 60_000 },
    level: 'error',
  },
  'candidate.lost': {
    event: { type: 'candidate.lost', election: 'e', fencingToken: token, reason: 'evicted' },
    level: 'warn',
  },
  'leader.changed': {
    event: {
      type: 'leader.changed',
      election: 'e',
      fencingToken: undefined,
      value: undefined,
      isKnown: false,
    },
    level: 'debug',
  },
  'term.started': {
    event: {
      type: 'term.started',
      election: 'e',
      fencingToken: token,
      value: 'v',
      leaseId: '7',
      clusterId: '8',
    },
    level: 'info',
  },
  'term.ended': {
    event: { type: 'term.ended', election: 'e', fencingToken: token, reason: 'resigned', ledMs: 1.5 },
    level: 'info',
  },
  'term.released': {
    event: { type: 'term.released', election: 'e', fencingToken: token, afterMs: 12.5 },
    level: 'debug',
  },
  'drain.overdue': {
    event: {
      type: 'drain.overdue',
      election: 'e',
      fencingToken: token,
      afterMs: 9_000,
      stalledMs: 1_500,
      callbacks: ['onLeader', 'every'],
    },
    level: 'error',
  },
  'campaign.refused': {
    event: { type: 'campaign.refused', election: 'e', error: new RefusedError('e', 'refused') },
    level: 'error',
  },
  'candidate.waiting': {
    event: {
      type: 'candidate.waiting',
      election: 'e',
      position: 2,
      leader: 'x',
      waitedMs: 5_000,
      awaitedBy: undefined,
      blockedBy: undefined,
    },
    level: 'info',
  },
  'usage.unusual': {
    event: { type: 'usage.unusual', election: 'e', usage: 'exit', reason: 'the process exits' },
    level: 'warn',
  },
  'term.stale': {
    event: { type: 'term.stale', election: 'e', fencingToken: token, currentToken: token },
    level: 'warn',
  },
  'process.stalled': {
    event: { type: 'process.stalled', election: 'e', fencingToken: token, stalledMs: 3_000, cpuMs: 2_900 },
    level: 'error',
  },
  'orphan.deleted': {
    event: { type: 'orphan.deleted', election: 'e', key: 'election/e/1a2b3c4d5e6f7a8b', fencingToken: token },
    level: 'warn',
  },
  'follower.overdue': {
    event: { type: 'follower.overdue', election: 'e', afterMs: 9_000 },
    level: 'error',
  },
  'work.ended': {
    event: { type: 'work.ended', election: 'e', fencingToken: token, isStaying: true },
    level: 'info',
  },
  'callback.failed': {
    event: {
      type: 'callback.failed',
      election: 'e',
      callback: 'onLeader',
      error: new Error('line 1\nline 2'),
    },
    level: 'error',
  },
  'write.failed': {
    event: {
      type: 'write.failed',
      election: 'e',
      fencingToken: token,
      failures: 1,
      unknownOutcomes: 0,
      reason: 'no',
    },
    level: 'warn',
  },
  'txn.uncommitted': {
    event: { type: 'txn.uncommitted', election: 'e', fencingToken: token },
    level: 'warn',
  },
  'announce.failed': {
    event: { type: 'announce.failed', election: 'e', reason: 'no' },
    level: 'warn',
  },
  'release.failed': {
    event: { type: 'release.failed', election: 'e', key: 'k', reason: 'no' },
    level: 'warn',
  },
  'campaign.ended': {
    event: {
      type: 'campaign.ended',
      election: 'e',
      reason: 'refused',
      error: new RefusedError('e', 'denied'),
    },
    level: 'error',
  },
  'guard.tripped': {
    event: {
      type: 'guard.tripped',
      election: 'e',
      rounds: 6,
      holdMs: 251.7,
      origin: 'caller',
      calledFrom: 'f (a.ts:1:1)',
    },
    level: 'warn',
  },
  'guard.recovered': { event: { type: 'guard.recovered', election: 'e', rounds: 60 }, level: 'info' },
};

export const all = Object.values(samples) as readonly { event: ElectionEvent; level: keyof Logger }[];
