/**
 * Traces terms. A term may last for months, so no span covers a whole term. The start, the hand-over and each problem in
 * between have spans of their own. These are exported soon, so they survive a crash of the process.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import {
  context,
  SpanStatusCode,
  trace,
  type Attributes,
  type Context,
  type Span,
  type SpanContext,
  type TracerProvider,
} from '@opentelemetry/api';
import { errorText } from '../core/shown.ts';
import type { EventOf } from '../events.ts';
import type { ElectionEvent, ElectionEventType, EndCause, Term } from '../index.ts';
import { sourceOf, type EventSource } from '../logging/event-channels.ts';

/** Reasons for a deliberate end of a term. Any other reason marks the span as an error. */
const CHOSEN: ReadonlySet<EndCause> = new Set([
  'stepped-down',
  'resigned',
  'closed',
  'aborted',
  'work-ended',
]);

/**
 * Problems during a term. A problem becomes a span without duration, or during the hand-over an event of the hand-over's
 * span.
 */
const TROUBLES = [
  'announce.failed',
  'callback.failed',
  'drain.overdue',
  'follower.overdue',
  'guard.tripped',
  'process.stalled',
  'txn.uncommitted',
  'write.failed',
] as const satisfies readonly ElectionEventType[];

/** How many problems of one term are traced. Work that keeps failing must not fill the trace storage. */
const MOST_TROUBLES = 32;

type Trouble = EventOf<(typeof TROUBLES)[number]>;

const HEARD = [
  'candidate.entered',
  'leader.changed',
  'term.started',
  'term.ended',
  'term.released',
  'release.failed',
  'campaign.ended',
  ...TROUBLES,
] as const satisfies readonly ElectionEventType[];

type Heard = EventOf<(typeof HEARD)[number]>;

interface TracedTerm {
  readonly election: string;
  readonly fencingToken: string;
  readonly start: SpanContext;
  troubles: number;
}

interface Tracked {
  /** When the previous leader left, or we entered an empty queue, in milliseconds since 1970. */
  freeSinceMs: number | undefined;
  /** Token of the leader that ended the time without a leader; undefined while there is no leader. */
  endedByToken: string | undefined;
  term: TracedTerm | undefined;
  /** The span from the end of the term until its key is deleted. */
  handover: Span | undefined;
}

export class TermSpans {
  readonly #tracer: ReturnType<TracerProvider['getTracer']>;
  /**
   * The key is the source of the events: the event log of one `Election` object. Events of another copy of this package
   * have no source: their key is the name of the election.
   */
  readonly #tracked = new Map<EventSource | string, Tracked>();
  /** The terms that {@link contextOf} knows, by name and token. */
  readonly #terms = new Map<string, TracedTerm>();

  constructor(provider: TracerProvider, scope: string) {
    this.#tracer = provider.getTracer(scope);
    for (const type of HEARD) subscribe(`etcd-election:${type}`, this.#onMessage);
  }

  /** The context of the start of the term; the active context if the term is unknown, or its hand-over is finished. */
  contextOf({ election, fencingToken }: Pick<Term, 'election' | 'fencingToken'>): Context {
    const term = this.#terms.get(nameOf({ election, fencingToken: fencingToken.toString() }));
    return term === undefined ? context.active() : within(term.start);
  }

  close(): void {
    for (const type of HEARD) unsubscribe(`etcd-election:${type}`, this.#onMessage);
    for (const { handover } of this.#tracked.values()) handover?.end();
    this.#tracked.clear();
    this.#terms.clear();
  }

  readonly #onMessage = (message: unknown): void => {
    const event = message as Heard;
    const source = sourceOf(event) ?? event.election;
    const of = this.#tracked.get(source) ?? this.#track(source, event);
    if (of === undefined) return; // the campaign has not entered yet, or it entered before tracing started
    if (isTrouble(event)) return this.#trouble(of, event);
    switch (event.type) {
      case 'candidate.entered':
        this.#handedOver(of); // if the lease was lost, no release follows
        of.freeSinceMs = event.position === 1 ? Date.now() : undefined;
        of.endedByToken = undefined;
        return;
      case 'leader.changed':
        return noteLeader(of, event);
      case 'term.started':
        return this.#begin(of, event);
      case 'term.ended':
        return this.#end(of, event);
      case 'release.failed':
        of.handover?.addEvent(event.type, attributesOf(event));
        return this.#handedOver(of);
      case 'term.released':
        return this.#handedOver(of);
      case 'campaign.ended':
        this.#handedOver(of);
        this.#forget(of.term);
        this.#tracked.delete(source);
    }
  };

  #forget(term: TracedTerm | undefined): void {
    if (term !== undefined && this.#terms.get(nameOf(term)) === term) this.#terms.delete(nameOf(term));
  }

  /** Keeps the state of an election until its campaign ends. @returns undefined if the event does not show a running campaign. */
  #track(source: EventSource | string, { type }: Heard): Tracked | undefined {
    if (type !== 'candidate.entered' && type !== 'leader.changed' && type !== 'term.started')
      return undefined;
    const tracked: Tracked = {
      freeSinceMs: undefined,
      endedByToken: undefined,
      term: undefined,
      handover: undefined,
    };
    this.#tracked.set(source, tracked);
    return tracked;
  }

  #begin(of: Tracked, event: EventOf<'term.started'>): void {
    this.#handedOver(of);
    const { election, fencingToken, value, leaseId, clusterId } = event;
    const span = this.#tracer.startSpan(`lead ${election}`, {
      root: true, // a term is not part of whichever request is active
      startTime: freeSinceMsFor(of, fencingToken) ?? Date.now(),
      attributes: {
        'etcd.election.name': election,
        'etcd.election.fencing_token': fencingToken,
        'etcd.election.value': value,
        'etcd.election.lease_id': leaseId,
        ...(clusterId !== undefined && { 'etcd.cluster_id': clusterId }),
      },
    });
    of.freeSinceMs = undefined;
    this.#forget(of.term);
    of.term = { election, fencingToken, start: span.spanContext(), troubles: 0 };
    this.#terms.set(nameOf(of.term), of.term);
    span.end();
  }

  #end(of: Tracked, { election, fencingToken, reason, ledMs }: EventOf<'term.ended'>): void {
    if (of.term?.fencingToken !== fencingToken) return; // the term began before tracing started
    of.handover = this.#tracer.startSpan(
      `hand over ${election}`,
      {
        attributes: {
          'etcd.election.name': election,
          'etcd.election.fencing_token': fencingToken,
          'etcd.election.reason': reason,
          'etcd.election.term.duration': ledMs / 1000,
        },
      },
      within(of.term.start),
    );
    if (!CHOSEN.has(reason)) of.handover.setStatus({ code: SpanStatusCode.ERROR, message: reason });
  }

  #handedOver(of: Tracked): void {
    if (of.handover === undefined) return;
    of.handover.end();
    of.handover = undefined;
    this.#forget(of.term);
    of.term = undefined;
  }

  /** Records a problem: during a hand-over, as an event of the hand-over's span; otherwise as a span of its own. */
  #trouble(of: Tracked, event: Trouble): void {
    if (of.handover !== undefined) {
      of.handover.addEvent(event.type, attributesOf(event));
      return;
    }
    if (of.term === undefined || ++of.term.troubles > MOST_TROUBLES) return;
    const attributes = { 'etcd.election.name': event.election, ...attributesOf(event) };
    const span = this.#tracer.startSpan(
      `${event.type} ${event.election}`,
      { attributes },
      within(of.term.start),
    );
    if ('error' in event)
      span.recordException(event.error instanceof Error ? event.error : errorText(event.error));
    span.setStatus({ code: SpanStatusCode.ERROR, message: event.type });
    span.end();
  }
}

/** A time without a leader begins only when etcd shows none. If the leader is unknown, another replica may lead. */
function noteLeader(of: Tracked, { fencingToken, isKnown }: EventOf<'leader.changed'>): void {
  if (fencingToken !== undefined) {
    of.freeSinceMs = freeSinceMsFor(of, fencingToken);
    of.endedByToken = fencingToken;
  } else if (isKnown) {
    of.freeSinceMs = (of.endedByToken === undefined ? of.freeSinceMs : undefined) ?? Date.now();
    of.endedByToken = undefined;
  }
}

/** When the time without a leader began; undefined if there was no such time, or if another leader ended it. */
const freeSinceMsFor = (of: Tracked, fencingToken: string): number | undefined =>
  of.endedByToken === undefined || of.endedByToken === fencingToken ? of.freeSinceMs : undefined;

const isTrouble = (event: Heard): event is Trouble => TROUBLES.some((type) => type === event.type);

const nameOf = ({ election, fencingToken }: Pick<TracedTerm, 'election' | 'fencingToken'>): string =>
  JSON.stringify([election, fencingToken]);

const within = (start: SpanContext): Context => trace.setSpan(context.active(), trace.wrapSpanContext(start));

/** The plain values of an event, as attributes: `afterMs` becomes `etcd.election.after_ms`. */
function attributesOf(event: ElectionEvent): Attributes {
  const attributes: Attributes = {};
  for (const [field, value] of Object.entries(event)) {
    if (field === 'type' || field === 'election') continue;
    if (typeof value !== 'string' && typeof value !== 'number') continue;
    attributes[`etcd.election.${field.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`] = value;
  }
  return attributes;
}
