/**
 * Traces terms. A term may last for months, so no span covers a whole term. One span covers its begin, one its hand-over, and
 * one every problem in between. All are exported soon, so they survive a crash of the process.
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
import type { EventOf } from '../events.ts';
import type { ElectionEvent, ElectionEventType, EndCause, Term } from '../index.ts';

/** Reasons for a deliberate end of a term. Any other reason marks the span as an error. */
const CHOSEN: ReadonlySet<EndCause> = new Set([
  'stepped-down',
  'resigned',
  'closed',
  'aborted',
  'work-ended',
]);

/** Problems during a term. Each becomes a span without duration. */
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

/** How many problems of one term are traced, so that work that keeps failing does not fill the trace storage. */
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

interface Tracked {
  /** When the previous leader went, or we entered an empty queue, in milliseconds since the epoch. */
  freeSinceMs: number | undefined;
  term: { readonly fencingToken: string; readonly begin: SpanContext; troubles: number } | undefined;
  /** The span from the end of the term until its key is deleted. */
  handover: Span | undefined;
}

export class TermSpans {
  readonly #tracer: ReturnType<TracerProvider['getTracer']>;
  readonly #tracked = new Map<string, Tracked>();

  constructor(provider: TracerProvider, scope: string) {
    this.#tracer = provider.getTracer(scope);
    for (const type of HEARD) subscribe(`etcd-election:${type}`, this.#onMessage);
  }

  /** The context with the term's begin as parent; the active context if the term is unknown or over. */
  contextOf({ election, fencingToken }: Pick<Term, 'election' | 'fencingToken'>): Context {
    const term = this.#tracked.get(election)?.term;
    return term?.fencingToken === fencingToken.toString() ? within(term.begin) : context.active();
  }

  close(): void {
    for (const type of HEARD) unsubscribe(`etcd-election:${type}`, this.#onMessage);
    for (const { handover } of this.#tracked.values()) handover?.end();
    this.#tracked.clear();
  }

  readonly #onMessage = (message: unknown): void => {
    const event = message as Heard;
    const of = this.#tracked.get(event.election) ?? this.#track(event);
    if (of === undefined) return; // not a campaign of this process
    if (isTrouble(event)) return this.#trouble(of, event);
    switch (event.type) {
      case 'candidate.entered':
        this.#handedOver(of); // if the lease was lost, no release follows
        of.freeSinceMs = event.position === 1 ? Date.now() : undefined;
        return;
      case 'leader.changed':
        of.freeSinceMs = event.fencingToken === undefined ? (of.freeSinceMs ?? Date.now()) : of.freeSinceMs;
        return;
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
        this.#tracked.delete(event.election);
    }
  };

  /** The state of the election, kept until its campaign ends; undefined if no campaign runs. */
  #track({ type, election }: Heard): Tracked | undefined {
    if (type !== 'candidate.entered' && type !== 'leader.changed' && type !== 'term.started')
      return undefined;
    const tracked: Tracked = { freeSinceMs: undefined, term: undefined, handover: undefined };
    this.#tracked.set(election, tracked);
    return tracked;
  }

  #begin(of: Tracked, event: EventOf<'term.started'>): void {
    this.#handedOver(of);
    const { election, fencingToken, value, leaseId, clusterId } = event;
    const span = this.#tracer.startSpan(`lead ${election}`, {
      root: true, // a term is not part of whichever request is active
      startTime: of.freeSinceMs ?? Date.now(),
      attributes: {
        'etcd.election.name': election,
        'etcd.election.fencing_token': fencingToken,
        'etcd.election.value': value,
        'etcd.election.lease_id': leaseId,
        ...(clusterId !== undefined && { 'etcd.cluster_id': clusterId }),
      },
    });
    of.freeSinceMs = undefined;
    of.term = { fencingToken, begin: span.spanContext(), troubles: 0 };
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
      within(of.term.begin),
    );
    if (!CHOSEN.has(reason)) of.handover.setStatus({ code: SpanStatusCode.ERROR, message: reason });
  }

  #handedOver(of: Tracked): void {
    if (of.handover === undefined) return;
    of.handover.end();
    of.handover = undefined;
    of.term = undefined;
  }

  /** Records a problem: in the span of the hand-over under way, otherwise in its own span, which is exported at once. */
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
      within(of.term.begin),
    );
    if ('error' in event)
      span.recordException(event.error instanceof Error ? event.error : String(event.type));
    span.setStatus({ code: SpanStatusCode.ERROR, message: event.type });
    span.end();
  }
}

const isTrouble = (event: Heard): event is Trouble => TROUBLES.some((type) => type === event.type);

const within = (begin: SpanContext): Context => trace.setSpan(context.active(), trace.wrapSpanContext(begin));

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
