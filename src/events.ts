/**
 * All events of the library. Logs, metrics, traces and subscribers receive them. Tokens and lease IDs are strings, because JSON
 * has no bigint, and a number would lose digits.
 */
import type { EndCause, StopCause } from './core/campaign-state.ts';

/**
 * Which callback failed or still runs:
 * - `onLeader`, `onFollower`, `onLeaderChange`: the callback of the options.
 * - `run`, `every`, `onEnd`: what the program registered by the method of this name.
 * - `onAbort`: an `abort` listener of the term's signal.
 */
export type CallbackName =
  'onLeader' | 'onFollower' | 'onLeaderChange' | 'run' | 'every' | 'onEnd' | 'onAbort';

/**
 * Usage that is right in some programs and a mistake in many others:
 * - `exit`: the process exits while it leads.
 * - `shared-value`: another candidate announces the same value.
 * - `unset-value`: the value given to `campaign()` contains `undefined` or `[object …]`. A variable probably has no value.
 * - `in-turn`: `lead()` without `ifFree` waited behind another candidate, and then ran its own work.
 * - `short-work`: `onLeader` returned after 0.1 s to 5 s, and `onFollower` exists. The work may be over.
 * - `returned`: `onLeader` returned an object with a method such as `stop()`. Nothing calls that method.
 * - `unused-term`: no callback is set, and nothing has asked whether the term is current.
 * - `unasked-term`: like `unused-term`, for a term that `close()` or `resign()` has ended.
 * - `unawaited`: `onLeaderChange` is the only callback, and has not settled when the key is deleted.
 * - `emitted`: `onFollower` has returned `true`, perhaps the result of `emit()`. Nothing awaits the listeners of an `EventEmitter`.
 * - `stopped-late`: the work still ran when most of the drain had passed, so `onFollower` was called early.
 * - `timed-out`: the option `signal` timed out during a term, and so ended the term.
 * - `uncalled`: `isCurrent` was read but not called: its parentheses are missing.
 * - `closed-client`: the client was closed during a term, so the key could not be deleted.
 * - `earlier-work`: a campaign waits for callbacks of an earlier term that do not end.
 */
export type UnusualUsage =
  | 'exit'
  | 'shared-value'
  | 'unset-value'
  | 'in-turn'
  | 'short-work'
  | 'returned'
  | 'unused-term'
  | 'unasked-term'
  | 'unawaited'
  | 'emitted'
  | 'stopped-late'
  | 'timed-out'
  | 'uncalled'
  | 'closed-client'
  | 'earlier-work';

export type ElectionEvent =
  | { readonly type: 'options.unusual'; readonly election: string; readonly reason: string }
  | {
      readonly type: 'session.opened';
      readonly leaseId: string;
      readonly askedTtlSeconds: number;
      readonly grantedTtlSeconds: number;
    }
  | {
      readonly type: 'session.renewed';
      readonly leaseId: string;
      readonly roundTripMs: number;
      readonly headroomMs: number;
    }
  | {
      readonly type: 'session.faltered';
      readonly leaseId: string;
      readonly reason: string;
      readonly leftMs: number;
    }
  | { readonly type: 'session.recovered'; readonly leaseId: string; readonly leftMs: number }
  | {
      readonly type: 'session.lost';
      readonly leaseId: string;
      readonly reason: 'deadline-passed' | 'lease-lost' | 'refused';
    }
  | {
      readonly type: 'session.unavailable';
      readonly reason: string;
      readonly endpoints: readonly string[];
      /**
       * The last failure of each host that does not serve us, for at most eight hosts. Each `reason` has at most 120 characters.
       * Undefined if there is only one endpoint.
       */
      readonly causes?: readonly { readonly host: string; readonly reason: string }[] | undefined;
      /** For how long no lease could be obtained, in milliseconds. */
      readonly forMs: number;
    }
  | { readonly type: 'session.available'; readonly afterMs: number }
  /**
   * The loop guard delays the next lease of a client. The client's last leases were short-lived, or it has reconnected often.
   */
  | { readonly type: 'session.held'; readonly holdMs: number }
  | { readonly type: 'session.closed'; readonly leaseId: string }
  | { readonly type: 'host.away'; readonly host: string; readonly reason: string }
  | { readonly type: 'host.back'; readonly host: string; readonly afterMs: number }
  | {
      readonly type: 'host.foreign';
      readonly host: string;
      readonly clusterId: string;
      /** Undefined if the hosts disagree and no cluster has the majority of them. */
      readonly ourClusterId: string | undefined;
    }
  | { readonly type: 'cluster.changed'; readonly fromClusterId: string; readonly toClusterId: string }
  | { readonly type: 'last-will.lost'; readonly reason: string }
  | {
      readonly type: 'etcd.history-lost';
      readonly fromRevision: string;
      readonly toRevision: string;
    }
  | { readonly type: 'watch.lost'; readonly reason: string }
  | { readonly type: 'watch.healed'; readonly afterMs: number }
  | { readonly type: 'watch.unconfirmed'; readonly silentMs: number }
  | { readonly type: 'etcd.proxied'; readonly ttlSeconds: number; readonly isSupported: boolean }
  | {
      readonly type: 'candidate.entered';
      readonly election: string;
      readonly key: string;
      readonly fencingToken: string;
      readonly position: number;
    }
  | {
      readonly type: 'candidate.failed';
      readonly election: string;
      readonly reason: string;
      /** Whether a failure was already logged at `warn` less than a minute ago. */
      readonly isRepeated: boolean;
    }
  | {
      readonly type: 'candidate.refused';
      readonly election: string;
      readonly reason: string;
      /** For how long etcd has refused us, in milliseconds. */
      readonly forMs: number;
    }
  | {
      readonly type: 'candidate.lost';
      readonly election: string;
      readonly fencingToken: string;
      readonly reason: EndCause;
    }
  /** We deleted a key that was before ours in the queue, and had neither a lease nor a holder. */
  | {
      readonly type: 'orphan.deleted';
      readonly election: string;
      readonly key: string;
      readonly fencingToken: string;
    }
  | {
      readonly type: 'leader.changed';
      readonly election: string;
      /** Undefined if nobody leads, or if the leader is unknown. */
      readonly fencingToken: string | undefined;
      readonly value: string | undefined;
      /**
       * False if etcd has confirmed nothing for one TTL. Also false if we are far back in the queue and have not read the
       * leader. Also false if our own lease has run out, until etcd shows who leads. In these cases another replica may lead.
       */
      readonly isKnown: boolean;
    }
  | {
      readonly type: 'term.started';
      readonly election: string;
      readonly fencingToken: string;
      readonly value: string;
      readonly leaseId: string;
      /**
       * ID of the etcd cluster, in decimal; undefined if etcd's answers carry none. Each cluster elects a leader of its own.
       */
      readonly clusterId: string | undefined;
    }
  | {
      readonly type: 'term.ended';
      readonly election: string;
      readonly fencingToken: string;
      readonly reason: EndCause;
      /** How long we led, in milliseconds. The time after our lease ran out does not count. */
      readonly ledMs: number;
    }
  | {
      readonly type: 'term.released';
      readonly election: string;
      readonly fencingToken: string;
      /** Time from the end of the term until its key was deleted, in milliseconds. No replica could lead meanwhile. */
      readonly afterMs: number;
    }
  | {
      readonly type: 'drain.overdue';
      readonly election: string;
      readonly fencingToken: string;
      readonly afterMs: number;
      /** For how long the event loop stood still in that time, in milliseconds; 0 if it did not, or only briefly. */
      readonly stalledMs: number;
      /** The callbacks that have not settled: those of the options, and those registered with the term. */
      readonly callbacks: readonly CallbackName[];
    }
  | {
      readonly type: 'campaign.refused';
      readonly election: string;
      readonly error: unknown;
    }
  | {
      readonly type: 'candidate.waiting';
      readonly election: string;
      readonly position: number;
      /** Value of the leader; undefined if no leader is known. */
      readonly leader: string | undefined;
      readonly waitedMs: number;
      /** The election in this process whose callback awaits our term; undefined if there is none. */
      readonly awaitedBy: string | undefined;
      /** The first key of the queue, if another program put it there without a lease. Nobody can lead until it is deleted. */
      readonly blockedBy: string | undefined;
    }
  | {
      readonly type: 'usage.unusual';
      readonly election: string;
      readonly usage: UnusualUsage;
      /** What is unusual, and what to write instead. */
      readonly reason: string;
    }
  | {
      readonly type: 'term.stale';
      readonly election: string;
      /** Fencing token of the ended term that the program still uses. */
      readonly fencingToken: string;
      /** Fencing token of the present term. */
      readonly currentToken: string;
    }
  | {
      readonly type: 'process.stalled';
      readonly election: string;
      readonly fencingToken: string;
      /** For how long the event loop stood still in the last TTL, in milliseconds. Several stalls are added up. */
      readonly stalledMs: number;
      /** CPU time of this process during the stalls, in milliseconds. */
      readonly cpuMs: number;
    }
  | { readonly type: 'follower.overdue'; readonly election: string; readonly afterMs: number }
  | {
      readonly type: 'work.ended';
      readonly election: string;
      readonly fencingToken: string;
      /** Whether the term continues. The option `whenWorkEnds` decides. */
      readonly isStaying: boolean;
    }
  | {
      readonly type: 'callback.failed';
      readonly election: string;
      readonly callback: CallbackName;
      readonly error: unknown;
    }
  | {
      readonly type: 'write.failed';
      readonly election: string;
      readonly fencingToken: string;
      /** Failures since the last such event of this term. */
      readonly failures: number;
      /** How many of the failed writes may have been committed anyway. */
      readonly unknownOutcomes: number;
      readonly reason: string;
    }
  | { readonly type: 'txn.uncommitted'; readonly election: string; readonly fencingToken: string }
  | { readonly type: 'announce.failed'; readonly election: string; readonly reason: string }
  | {
      readonly type: 'release.failed';
      readonly election: string;
      readonly key: string;
      readonly reason: string;
    }
  | {
      readonly type: 'campaign.ended';
      readonly election: string;
      /** `skipped`: a `lead()` with `ifFree` found another candidate. */
      readonly reason: StopCause | 'skipped';
      /** With `skipped`: value of the leader, if it is known. */
      readonly leader?: string | undefined;
      readonly error?: unknown;
    }
  | {
      readonly type: 'guard.tripped';
      readonly election: string;
      readonly rounds: number;
      readonly holdMs: number;
      readonly origin: 'caller' | 'environment';
      readonly calledFrom: string | undefined;
    }
  /** Many `observe()` iterations of one election are open at once, possibly by mistake. Reported once. */
  | { readonly type: 'observers.many'; readonly election: string; readonly count: number }
  | { readonly type: 'guard.recovered'; readonly election: string; readonly rounds: number };

export type ElectionEventType = ElectionEvent['type'];
export type EventOf<T extends ElectionEventType> = Extract<ElectionEvent, { type: T }>;

/** A logger: pino's, or any object with these methods. */
export interface Logger {
  trace(fields: object, message: string): void;
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export type Level = keyof Logger;
