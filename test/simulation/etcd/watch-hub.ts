/**
 * The watches of one member, after etcd's watchableStore and serverWatchStream. They follow what this member has
 * applied, which may be late.
 */
import type { Defects } from './defects.ts';
import type { End, Store } from './store.ts';
import {
  enumOf,
  keyOf,
  kvMessage,
  numberOf,
  raw,
  type Change,
  type EtcdRefusal,
  type Header,
  type KeyValue,
  type Raw,
} from './wire.ts';

/** syncWatchersLoop. */
const SYNC_EVERY_MS = 100;
/** watchBatchMaxRevs. */
const REVISIONS_PER_BATCH = 1_000;
/** clientv3.InvalidWatchID. */
const NO_WATCH = -1;
/** progressReportInterval, without its jitter. */
const PROGRESS_EVERY_MS = 600_000;

export interface StreamEnd {
  data(message: object): void;
  end(error?: EtcdRefusal): void;
}

interface Watcher {
  readonly id: number;
  readonly key: string;
  readonly end: End;
  readonly filters: readonly string[];
  readonly wantsPrevKv: boolean;
  /** Whether the next progress report is due; undefined if none is requested. */
  progress: boolean | undefined;
  /** The first revision that it has not received. */
  minRevision: number;
  isSynced: boolean;
  /** A compaction has cancelled it. Its stream keeps its ID until the client cancels it too. */
  isCompacted: boolean;
  /** A message could not be delivered in time. */
  isStarved: boolean;
}

export interface HubTools {
  readonly defects: Defects;
  store(): Store;
  header(revision: number): Header;
  after(ms: number, run: () => void): () => void;
  random(): number;
  /** The member's own clock, in milliseconds. */
  now(): number;
}

export class WatchHub {
  readonly #tools: HubTools;
  readonly #streams = new Set<WatchStream>();
  #isSyncDue = false;
  #starvedUntilMs = Number.NEGATIVE_INFINITY;

  constructor(tools: HubTools) {
    this.#tools = tools;
  }

  /** Stops reading from all streams for this long, so that messages wait (a full channel of victims). */
  starve(ms: number): void {
    this.#starvedUntilMs = Math.max(this.#starvedUntilMs, this.#tools.now() + ms);
  }

  get #isStarved(): boolean {
    return this.#tools.now() < this.#starvedUntilMs;
  }

  open(to: StreamEnd): WatchStream {
    const stream = new WatchStream(this.#tools, to, () => this.#syncSoon());
    this.#streams.add(stream);
    return stream;
  }

  close(stream: WatchStream): void {
    stream.close();
    this.#streams.delete(stream);
  }

  /** The process and its streams were killed. */
  reset(): void {
    this.#streams.clear();
    this.#isSyncDue = false;
    this.#starvedUntilMs = Number.NEGATIVE_INFINITY;
  }

  /** watchableStore.notify. */
  notify(revision: number, changes: readonly Change[]): void {
    if (this.#isStarved) {
      for (const stream of this.#streams) stream.starve(changes);
      this.#syncSoon();
    } else for (const stream of this.#streams) stream.notify(revision, changes);
  }

  /** watchableStore.Restore: a snapshot has replaced the data. */
  restored(): void {
    for (const stream of this.#streams) stream.unsync();
    this.#syncSoon();
  }

  /** The real loop always runs. If no watch is behind, a client cannot see the difference. */
  #syncSoon(): void {
    if (this.#isSyncDue) return;
    this.#isSyncDue = true;
    this.#tools.after(this.#tools.random() * SYNC_EVERY_MS, () => {
      this.#isSyncDue = false;
      let isBehind = this.#isStarved;
      if (!isBehind) for (const stream of this.#streams) isBehind = stream.sync() || isBehind;
      if (isBehind) this.#syncSoon();
    });
  }
}

export class WatchStream {
  readonly #tools: HubTools;
  readonly #to: StreamEnd;
  readonly #onUnsynced: () => void;
  readonly #watchers = new Map<number, Watcher>();
  #nextId = 0;
  #cancelTicker = (): void => undefined;
  #isTicking = false;

  constructor(tools: HubTools, to: StreamEnd, onUnsynced: () => void) {
    this.#tools = tools;
    this.#to = to;
    this.#onUnsynced = onUnsynced;
  }

  get #store(): Store {
    return this.#tools.store();
  }

  /** serverWatchStream.recvLoop. */
  receive(message: Raw): void {
    if (message['create_request'] != null) this.#create(raw(message['create_request']));
    else if (message['cancel_request'] != null) this.#cancel(raw(message['cancel_request']));
    else if (message['progress_request'] != null) this.#reportProgressOfAll();
  }

  #create(request: Raw): void {
    const key = keyOf(request['key']) || '\0';
    const rangeEnd = keyOf(request['range_end']);
    const end = rangeEnd === '' ? undefined : rangeEnd === '\0' ? '' : rangeEnd;
    const { revision } = this.#store;
    const refusal = this.#refusalOf(key, end, numberOf(request['watch_id']));
    if (refusal !== undefined) {
      this.#send(NO_WATCH, revision, { created: true, canceled: true, cancel_reason: refusal });
      return;
    }
    const start = numberOf(request['start_revision']) || revision + 1;
    const watcher: Watcher = {
      id: this.#idFor(numberOf(request['watch_id'])),
      key,
      end,
      filters: ((request['filters'] ?? []) as unknown[]).map((one) => enumOf(one, ['Noput', 'Nodelete'])),
      wantsPrevKv: request['prev_kv'] === true,
      progress: request['progress_notify'] === true ? true : undefined,
      minRevision: start,
      isSynced: start > revision,
      isStarved: false,
      isCompacted: false,
    };
    this.#watchers.set(watcher.id, watcher);
    this.#send(watcher.id, revision, { created: true });
    if (!watcher.isSynced) this.#onUnsynced();
    if (watcher.progress !== undefined) this.#tick();
  }

  #refusalOf(key: string, end: End, id: number): string | undefined {
    if (end !== undefined && end !== '' && key >= end) return 'mvcc: watcher range is empty';
    if (id !== 0 && this.#watchers.has(id)) return 'mvcc: duplicate watch ID provided on the WatchStream';
    return undefined;
  }

  /** 0 lets etcd choose. */
  #idFor(asked: number): number {
    if (asked !== 0) return asked;
    while (this.#watchers.has(this.#nextId)) this.#nextId++;
    return this.#nextId++;
  }

  #cancel(request: Raw): void {
    const id = numberOf(request['watch_id']);
    if (this.#watchers.delete(id)) this.#send(id, this.#store.revision, { canceled: true });
  }

  /** watchStream.RequestProgressAll: an answer only if every watch is up to date. */
  #reportProgressOfAll(): void {
    const watchers = [...this.#watchers.values()];
    const isDue = watchers.length > 0 && watchers.every(({ isSynced }) => isSynced);
    if (isDue || this.#tools.defects.progressOutOfStep) this.#send(NO_WATCH, this.#store.revision, {});
  }

  /** The ticker of serverWatchStream.sendLoop, only for watches that requested it. */
  #tick(): void {
    if (this.#isTicking) return;
    this.#isTicking = true;
    const everyMs = PROGRESS_EVERY_MS * (1 + this.#tools.random() / 10);
    const tick = (): void => {
      for (const watcher of this.#watchers.values()) {
        if (watcher.progress === true && watcher.isSynced) this.#send(watcher.id, this.#store.revision, {});
        if (watcher.progress !== undefined) watcher.progress = true;
      }
      this.#cancelTicker = this.#tools.after(everyMs, tick);
    };
    this.#cancelTicker = this.#tools.after(everyMs, tick);
  }

  notify(revision: number, changes: readonly Change[]): void {
    for (const watcher of this.#watchers.values()) {
      if (!watcher.isSynced) continue;
      const events = changes.filter((change) => isSeen(watcher, change));
      if (events.length === 0) continue;
      if (!this.#tools.defects.snapshotRepeatsEvents) watcher.minRevision = revision + 1;
      this.#tell(watcher, revision, events);
    }
  }

  starve(changes: readonly Change[]): void {
    for (const watcher of this.#watchers.values()) {
      if (!changes.some((change) => isSeen(watcher, change))) continue;
      watcher.isSynced = false;
      watcher.isStarved = true;
    }
  }

  unsync(): void {
    for (const watcher of this.#watchers.values()) watcher.isSynced = false;
  }

  /**
   * watchableStore.syncWatchers.
   * @returns whether a watch has more to read.
   */
  sync(): boolean {
    const { revision, compactRevision } = this.#store;
    let isBehind = false;
    for (const watcher of this.#watchers.values()) {
      if (watcher.isSynced || watcher.isCompacted) continue;
      const isLost = watcher.isStarved && this.#tools.defects.skipsCompactedEvents;
      watcher.isStarved = false;
      if (watcher.minRevision < compactRevision && isLost) watcher.minRevision = revision + 1;
      else if (watcher.minRevision < compactRevision) {
        watcher.isCompacted = true;
        this.#send(watcher.id, 0, { canceled: true, compact_revision: String(compactRevision) });
        continue;
      }
      isBehind = this.#catchUp(watcher, revision) || isBehind;
    }
    return isBehind;
  }

  #catchUp(watcher: Watcher, revision: number): boolean {
    const changes = this.#store.changesFrom(watcher.minRevision).filter((change) => isSeen(watcher, change));
    const more = firstAfterBatch(changes);
    const events = more === undefined ? changes : changes.filter(({ kv }) => kv.mod < more);
    watcher.isSynced = more === undefined;
    if (more !== undefined) watcher.minRevision = more;
    else if (watcher.minRevision <= revision || this.#tools.defects.snapshotForgetsFutureStart)
      watcher.minRevision = revision + 1;
    if (events.length > 0) this.#tell(watcher, revision, events);
    return !watcher.isSynced;
  }

  #tell(watcher: Watcher, revision: number, changes: readonly Change[]): void {
    const wanted = changes.filter(
      ({ type }) => !watcher.filters.includes(type === 'Put' ? 'Noput' : 'Nodelete'),
    );
    if (wanted.length === 0) return;
    if (watcher.progress !== undefined) watcher.progress = false;
    const store = this.#store;
    const events = wanted.map(({ type, kv }) => {
      const isCreate = type === 'Put' && kv.create === kv.mod;
      const previous = watcher.wantsPrevKv && !isCreate ? store.before(kv) : undefined;
      return { type, kv: kvMessage(kv), prev_kv: previous === undefined ? null : kvMessage(previous) };
    });
    this.#send(watcher.id, revision, { events });
  }

  #send(watchId: number, revision: number, message: Raw): void {
    this.#to.data({
      header: this.#tools.header(revision),
      watch_id: String(watchId),
      created: false,
      canceled: false,
      compact_revision: '0',
      cancel_reason: '',
      fragment: false,
      events: [],
      ...message,
    });
  }

  close(): void {
    this.#cancelTicker();
    this.#watchers.clear();
  }
}

const isSeen = ({ key, end, minRevision }: Watcher, { kv }: Change): boolean =>
  kv.mod >= minRevision && isIn(kv, key, end);

const isIn = (kv: KeyValue, key: string, end: End): boolean =>
  end === undefined ? kv.key === key : kv.key >= key && (end === '' || kv.key < end);

/** The first revision that does not fit into the message. */
function firstAfterBatch(changes: readonly Change[]): number | undefined {
  let revisions = 0;
  let last = 0;
  for (const { kv } of changes) {
    if (kv.mod === last) continue;
    last = kv.mod;
    if (++revisions > REVISIONS_PER_BATCH) return kv.mod;
  }
  return undefined;
}
