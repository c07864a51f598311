/**
 * One member's raft loop: ticks, the disk, proposals and reads, after etcd's raftNode and the parts of
 * EtcdServer that wait for it. The server knows of the leader only what the loop has reported: while the disk
 * hangs, that is old.
 */
import type { Defects } from './defects.ts';
import type { Process, Random } from './process.ts';
import type { Entry, Proposal } from './raft-log.ts';
import { NONE, type MemberId, type Message, type Snapshot } from './raft-message.ts';
import { Raft, type RaftOptions } from './raft.ts';
import type { Ready } from './raft-ready.ts';
import { ReadLoop, type ReadDone } from './read-loop.ts';
import { REFUSALS } from './refusals.ts';
import type { EtcdRefusal } from './wire.ts';

/** A tick older than this many heartbeats means that the loop is stuck (isActive). */
const ACTIVE_HEARTBEATS = 3;
/** The longest write to a healthy disk, in milliseconds. */
const DISK_MS = 2;
/** #20418 is a race: the probability that a member loses it after a long freeze. */
const STALE_READ_CHANCE = 0.5;

export interface NodeHost {
  /** @returns the outcome, for the waiting caller. */
  apply(entry: Entry): unknown;
  restore(snapshot: Snapshot): void;
  takeSnapshot(): Snapshot;
  /** The loop's report about the leader to the server. */
  leadershipChanged(): void;
  send(message: Message, delayMs: number): void;
  isConnectedSince(to: MemberId, sinceMs: number): boolean;
}

export interface NodeOptions extends Pick<
  RaftOptions,
  'id' | 'voters' | 'learners' | 'electionMs' | 'heartbeatMs' | 'hasPreVote'
> {
  readonly process: Process;
  readonly random: Random;
  readonly defects: Defects;
  readonly host: NodeHost;
  /** The refusal of a proposal that waited for a leader without success. */
  readonly deadlineExceeded: EtcdRefusal;
}

interface Waiting {
  readonly startedMs: number;
  readonly cancelTimer: () => void;
  done(outcome: unknown, refusal?: EtcdRefusal): void;
}

export class Node {
  readonly raft: Raft;
  readonly #options: NodeOptions;
  lead: MemberId = NONE;
  isLeader = false;
  /** As reported to the server. Raft itself may know more while the disk hangs. */
  committedIndex = 0;
  appliedIndex = 0;
  /** The term of the last applied entry, which headers show. A snapshot does not change it. */
  appliedTerm = 0;
  #leadSinceMs = Number.NEGATIVE_INFINITY;
  #hungUntilMs = Number.NEGATIVE_INFINITY;
  #stuckSinceMs: number | undefined;
  /** The total time in which ticks were not counted. */
  #stoppedMs = 0;
  /** Since when no tick has come, after a freeze. */
  #tickMissingSinceMs: number | undefined;
  #armedAtMs = Number.POSITIVE_INFINITY;
  #disarm = (): void => undefined;
  #count = 0;
  readonly #waiting = new Map<string, Waiting>();
  #blocked: Proposal[] = [];
  readonly #reads: ReadLoop;
  #appliedWaits: { readonly index: number; readonly run: () => void }[] = [];
  #isStaleAfterThaw = false;
  #isRunning = false;

  constructor(options: NodeOptions) {
    this.#options = options;
    this.raft = new Raft({
      ...options,
      now: () => this.#now(),
      takeSnapshot: () => options.host.takeSnapshot(),
    });
    const { process, id } = options;
    this.#reads = new ReadLoop({
      process,
      timeoutMs: this.requestTimeoutMs,
      newContext: () => `${id}.${process.now().toString(36)}.r${++this.#count}`,
      readIndex: (context) => {
        this.raft.readIndex(context);
        this.run();
      },
      whenApplied: (index, run) => this.whenApplied(index, run),
    });
  }

  /** ReqTimeout: five seconds for the disk, and two elections. */
  get requestTimeoutMs(): number {
    return 5_000 + 2 * this.#options.electionMs;
  }

  /** Time as ticks count it. */
  #now(): number {
    const { process } = this.#options;
    const stuckMs = this.#stuckSinceMs === undefined ? 0 : process.now() - this.#stuckSinceMs;
    return process.now() - this.#stoppedMs - stuckMs;
  }

  /** isActive: whether ticks come. */
  get isActive(): boolean {
    const sinceMs = this.#tickMissingSinceMs ?? this.#stuckSinceMs;
    const limitMs = ACTIVE_HEARTBEATS * this.#options.heartbeatMs;
    return sinceMs === undefined || this.#options.process.now() - sinceMs < limitMs;
  }

  get isStuck(): boolean {
    return this.#stuckSinceMs !== undefined;
  }

  /** @param hurriedMs how much sooner the first election comes (adjustTicks). */
  start(hurriedMs: number): void {
    this.raft.restart();
    this.lead = NONE;
    this.isLeader = false;
    this.#stuckSinceMs = undefined;
    this.#tickMissingSinceMs = undefined;
    this.#hungUntilMs = Number.NEGATIVE_INFINITY;
    this.#armedAtMs = Number.POSITIVE_INFINITY;
    this.#waiting.clear();
    this.#blocked = [];
    this.#reads.clear();
    this.#appliedWaits = [];
    this.#isStaleAfterThaw = false;
    this.#isRunning = false;
    this.raft.shiftElection(-hurriedMs);
    this.run();
  }

  /** The process continues after this long on its own clock. Ticks were not counted meanwhile. */
  thawed(frozenMs: number): void {
    const { process, heartbeatMs, random, defects, electionMs } = this.#options;
    this.#stoppedMs += frozenMs;
    this.#isStaleAfterThaw = defects.staleReads && frozenMs > electionMs && random() < STALE_READ_CHANCE;
    if (frozenMs > ACTIVE_HEARTBEATS * heartbeatMs) this.#tickMissingSinceMs = process.now() - frozenMs;
    process.after(random() * 3, 'raft', () => {
      this.#tickMissingSinceMs = undefined;
      this.#tick();
    });
  }

  /** Writes to its disk hang until then. */
  hangDisk(ms: number): void {
    this.#hungUntilMs = Math.max(this.#hungUntilMs, this.#options.process.now() + ms);
  }

  step(message: Message): void {
    if (message.type === 'append' || message.type === 'snapshot') this.#isStaleAfterThaw = false;
    this.raft.step(message);
    this.run();
  }

  #tick(): void {
    if (!this.isStuck) {
      this.raft.tick();
      this.run();
    }
  }

  #arm(): void {
    const { process } = this.#options;
    const dueAtMs = this.raft.dueAtMs;
    if (dueAtMs >= this.#armedAtMs || dueAtMs === Number.POSITIVE_INFINITY) return;
    this.#disarm();
    this.#armedAtMs = dueAtMs;
    this.#disarm = process.after(Math.max(0, dueAtMs - this.#now()), 'raft', () => {
      this.#armedAtMs = Number.POSITIVE_INFINITY;
      this.#tick();
      if (!this.isStuck) this.#arm();
    });
  }

  /** raftNode.start: executes what raft has prepared, until nothing is left or the disk hangs. */
  run(): void {
    if (this.#isRunning) return; // the loop below handles requests that arrive meanwhile
    this.#isRunning = true;
    while (!this.isStuck && this.#round());
    this.#isRunning = false;
    if (!this.isStuck) this.#arm();
  }

  /** @returns whether there was something to do. */
  #round(): boolean {
    const { raft } = this;
    const isChanged = this.lead !== raft.lead || this.isLeader !== (raft.role === 'leader');
    const ready = raft.takeReady();
    const { messages, reads, committed, mustSync } = ready;
    const isEmpty = messages.length + reads.length + committed.length === 0 && !mustSync;
    if (isEmpty && !isChanged) return false;
    if (isChanged) this.#tellLeadership();
    this.#handle(ready);
    return true;
  }

  #tellLeadership(): void {
    const { raft } = this;
    const isNew = raft.lead !== NONE && raft.lead !== this.lead;
    this.lead = raft.lead;
    this.isLeader = raft.role === 'leader';
    if (this.isLeader && isNew) this.#leadSinceMs = this.#options.process.now();
    this.#options.host.leadershipChanged();
    if (isNew) this.#reads.leaderChanged();
    if (this.lead !== NONE) for (const proposal of this.#blocked.splice(0)) raft.propose(proposal);
  }

  #handle(ready: Ready): void {
    const { process, voters, random } = this.#options;
    const isLeader = this.isLeader;
    this.committedIndex = ready.committed.at(-1)?.index ?? ready.snapshot?.index ?? this.committedIndex;
    for (const { context, index } of ready.reads) this.#reads.known(context, index);
    const isHung = ready.mustSync && process.now() < this.#hungUntilMs;
    // A single member answers only after its own disk has written the entry.
    if (!isHung || voters.length > 1) this.#apply(ready);
    if (isLeader) this.#send(ready.messages, 0);
    const save = (): void => {
      this.raft.saved();
      if (isHung && voters.length === 1) this.#apply(ready);
      if (!isLeader) this.#send(ready.messages, ready.mustSync ? random() * DISK_MS : 0);
    };
    if (!isHung) return save();
    this.#stuckSinceMs = process.now();
    this.#disarm();
    this.#armedAtMs = Number.POSITIVE_INFINITY;
    this.#unstickLater(save);
  }

  #unstickLater(save: () => void): void {
    const { process } = this.#options;
    process.after(Math.max(0, this.#hungUntilMs - process.now()), 'raft', () => {
      if (process.now() < this.#hungUntilMs) return this.#unstickLater(save);
      this.#stoppedMs += process.now() - this.#stuckSinceMs!;
      this.#stuckSinceMs = undefined;
      save();
      this.run();
    });
  }

  #send(messages: readonly Message[], delayMs: number): void {
    for (const message of messages) this.#options.host.send(message, delayMs);
  }

  #apply({ snapshot, committed }: Ready): void {
    const { host } = this.#options;
    if (snapshot !== undefined) {
      host.restore(snapshot);
      this.appliedIndex = snapshot.index;
    }
    for (const entry of committed) {
      const outcome = host.apply(entry);
      this.appliedIndex = entry.index;
      this.appliedTerm = entry.term;
      if (entry.proposal !== undefined) this.#settle(entry.proposal.id, outcome);
    }
    for (const wait of this.#appliedWaits.splice(0)) {
      if (wait.index <= this.appliedIndex) wait.run();
      else this.#appliedWaits.push(wait);
    }
  }

  isAwaited(proposalId: string): boolean {
    return this.#waiting.has(proposalId);
  }

  #settle(id: string, outcome: unknown, refusal?: EtcdRefusal): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    waiting.cancelTimer();
    waiting.done(outcome, refusal);
  }

  /** processInternalRaftRequestOnce: calls back with the outcome of applying the entry here. */
  propose(request: unknown, done: Waiting['done']): void {
    const { process, id: member } = this.#options;
    const id = `${member}.${process.now().toString(36)}.${++this.#count}`;
    const startedMs = process.now();
    const cancelTimer = process.after(this.requestTimeoutMs, id, () => {
      const isBlocked = this.#blocked.some((proposal) => proposal.id === id);
      if (isBlocked) this.#blocked = this.#blocked.filter((proposal) => proposal.id !== id);
      this.#settle(id, undefined, isBlocked ? this.#options.deadlineExceeded : this.#timeoutOf(startedMs));
    });
    this.#waiting.set(id, { startedMs, cancelTimer, done });
    const proposal = { id, request };
    if (this.raft.propose(proposal)) this.run();
    else this.#blocked.push(proposal);
  }

  /** parseProposeCtxErr. */
  #timeoutOf(startedMs: number): EtcdRefusal {
    const { id, electionMs, host, voters } = this.#options;
    if (startedMs > this.#leadSinceMs - 2 * electionMs && startedMs < this.#leadSinceMs)
      return REFUSALS.timeoutLeaderFailed;
    const isConnected = (to: MemberId): boolean => to === id || host.isConnectedSince(to, startedMs);
    const quorum = Math.floor(voters.length / 2) + 1;
    const isLost =
      this.lead === id
        ? voters.filter(isConnected).length < quorum
        : this.lead !== NONE && !isConnected(this.lead);
    return isLost ? REFUSALS.timeoutConnectionLost : REFUSALS.timeout;
  }

  /**
   * linearizableReadNotify: calls back when this member has applied everything that was committed at the time of
   * the request.
   */
  linearizable(done: ReadDone): void {
    if (this.#isStaleAfterThaw) {
      this.#options.process.after(0, 'read', () => done());
      return;
    }
    this.#reads.ask(done);
  }

  whenApplied(index: number, run: () => void): void {
    if (this.appliedIndex >= index) run();
    else this.#appliedWaits.push({ index, run });
  }

  /** ensureLeadership. */
  ensureLeadership(done: (isLeader: boolean) => void): void {
    const { defects, id } = this.#options;
    if (defects.skipsLeaderCheckAfterThaw && this.isActive) return done(true);
    this.linearizable((refusal) => done(refusal === undefined && this.raft.lead === id));
  }
}
