/**
 * One member's part in raft, after etcd's raft.go with its two safeguards CheckQuorum and (from 3.5) PreVote. It
 * has no timers and sends nothing: the member calls it, and takes the pending work from `takeReady`.
 */
import { ElectionTimer, type TimerOptions } from './election-timer.ts';
import { LeaderReads, type Read } from './leader-reads.ts';
import { ProgressTracker, type Progress } from './progress-tracker.ts';
import { RaftLog, type Proposal } from './raft-log.ts';
import { NONE, type Body, type MemberId, type Message, type Snapshot } from './raft-message.ts';
import { PendingWork, type Ready } from './raft-ready.ts';

export interface RaftOptions extends TimerOptions {
  readonly id: MemberId;
  readonly voters: readonly MemberId[];
  readonly learners: readonly MemberId[];
  readonly hasPreVote: boolean;
  /** A snapshot of what this member has applied. */
  readonly takeSnapshot: () => Snapshot;
}

export class Raft {
  readonly #options: RaftOptions;
  readonly #tracker: ProgressTracker;
  readonly log = new RaftLog();
  term = 1;
  votedFor: MemberId = NONE;
  role: 'follower' | 'preCandidate' | 'candidate' | 'leader' = 'follower';
  lead: MemberId = NONE;
  readonly #timer: ElectionTimer;
  readonly #reads = new LeaderReads();
  readonly #pending = new PendingWork();

  constructor(options: RaftOptions) {
    const { id, voters, learners } = options;
    this.#options = options;
    this.#tracker = new ProgressTracker(id, voters, learners);
    this.#timer = new ElectionTimer(options);
    this.becomeFollower(1, NONE); // the members themselves are entries of term 1
  }

  /** When `tick` is due. */
  get dueAtMs(): number {
    if (this.role === 'leader') return this.#timer.heartbeatDueAtMs;
    const isVoter = this.#tracker.isVoter(this.#options.id);
    return isVoter ? this.#timer.electionDueAtMs : Number.POSITIVE_INFINITY;
  }

  /** Moves the election timer, because the clock was stopped or the first election is hurried. */
  shiftElection(ms: number): void {
    this.#timer.shift(ms);
  }

  tick(): void {
    if (this.#options.now() < this.dueAtMs) return;
    if (this.role !== 'leader') {
      this.#timer.restart();
      this.#campaign(this.#options.hasPreVote ? 'preCandidate' : 'candidate');
      return;
    }
    this.#timer.delayHeartbeat();
    if (this.#timer.isOverdue) {
      this.#timer.restart();
      if (!this.#tracker.takeQuorumActive()) return this.becomeFollower(this.term, NONE);
    }
    this.#broadcastHeartbeat(this.#reads.lastContext);
  }

  #reset(term: number): void {
    if (this.term !== term) this.votedFor = NONE;
    this.term = term;
    this.lead = NONE;
    this.#timer.draw();
    this.#tracker.reset();
    this.#reads.clear();
  }

  becomeFollower(term: number, lead: MemberId): void {
    this.#reset(term);
    this.role = 'follower';
    this.lead = lead;
  }

  #campaign(role: 'preCandidate' | 'candidate'): void {
    const { id, voters } = this.#options;
    const term = this.term + 1;
    if (role === 'candidate') {
      this.#reset(term);
      this.votedFor = id;
    } else {
      this.#tracker.clearVotes();
      this.lead = NONE;
    }
    this.role = role;
    this.#tracker.recordVote(id, true);
    if (this.#tracker.quorum === 1) return this.#won();
    const type = role === 'candidate' ? 'vote' : 'preVote';
    const { lastIndex, lastTerm } = this.log;
    for (const to of voters)
      if (to !== id) this.#send(to, { type, term, index: lastIndex, logTerm: lastTerm });
  }

  #won(): void {
    if (this.role === 'preCandidate') this.#campaign('candidate');
    else this.#becomeLeader();
  }

  #becomeLeader(): void {
    this.#reset(this.term);
    this.role = 'leader';
    this.lead = this.#options.id;
    this.#tracker.lead(this.log.lastIndex + 1);
    this.#timer.delayHeartbeat();
    this.#append(undefined);
  }

  /** @returns whether there was a member to propose it to. If not, the proposal must wait. */
  propose(proposal: Proposal): boolean {
    if (this.role === 'leader') this.#append(proposal);
    else if (this.lead === NONE) return false;
    else this.#send(this.lead, { type: 'propose', term: 0, proposal });
    return true;
  }

  /** Asks for the index that a linearizable read must wait for. A request without a leader is dropped. */
  readIndex(context: string): void {
    if (this.role === 'leader') this.#readAtLeader(this.#options.id, context);
    else if (this.lead !== NONE) this.#send(this.lead, { type: 'readIndex', term: 0, context });
  }

  #append(proposal: Proposal | undefined): void {
    this.log.append(this.term, proposal);
    this.#maybeCommit();
    for (const to of this.#tracker.others) this.#sendAppend(to);
  }

  /** @returns whether more is committed. */
  #maybeCommit(): boolean {
    if (!this.log.maybeCommit(this.#tracker.quorumIndex(this.log.lastIndex), this.term)) return false;
    for (const { from, context } of this.#reads.takeEarly()) this.#readAtLeader(from, context);
    return true;
  }

  #sendAppend(to: MemberId): void {
    const progress = this.#tracker.progress.get(to)!;
    const index = progress.next - 1;
    const logTerm = this.log.termAt(index);
    if (logTerm === undefined) {
      const snapshot = this.#options.takeSnapshot();
      progress.next = snapshot.index + 1;
      this.#send(to, { type: 'snapshot', snapshot });
      return;
    }
    const entries = this.log.from(progress.next);
    progress.next = this.log.lastIndex + 1; // more entries follow before the answer
    this.#send(to, { type: 'append', index, logTerm, entries, commit: this.log.commit });
  }

  #broadcastHeartbeat(context: string): void {
    for (const [to, { match }] of this.#tracker.progress)
      this.#send(to, { type: 'heartbeat', commit: Math.min(match, this.log.commit), context });
  }

  step(message: Message): void {
    if (message.term > this.term) {
      if (!this.#follow(message)) return;
    } else if (message.term < this.term && message.term !== 0) return this.#stepOld(message);
    switch (message.type) {
      case 'vote':
      case 'preVote':
        return this.#stepVote(message);
      case 'propose':
        this.propose(message.proposal);
        return;
      case 'readIndex':
        if (this.role === 'leader') this.#readAtLeader(message.from, message.context);
        return;
      case 'readIndexReply':
        this.#pending.answer(message);
        return;
      case 'append':
      case 'heartbeat':
      case 'snapshot':
        return this.#stepFromLeader(message);
      case 'appended':
      case 'heartbeatReply':
      case 'voteReply':
      case 'preVoteReply':
        if (this.role === 'leader') this.#stepLeader(message);
        else this.#stepCandidate(message);
    }
  }

  /**
   * Handles a message of a later term.
   * @returns whether it must be processed further.
   */
  #follow(message: Message): boolean {
    const { type, from, term } = message;
    const isVote = type === 'vote' || type === 'preVote';
    // CheckQuorum: a member that hears a leader does not vote for another one.
    if (isVote && this.lead !== NONE && !this.#timer.isOverdue) return false;
    if (type === 'preVote' || (type === 'preVoteReply' && !message.isRejected)) return true;
    const isFromLeader = type === 'append' || type === 'heartbeat' || type === 'snapshot';
    this.becomeFollower(term, isFromLeader ? from : NONE);
    return true;
  }

  /** Handles a message of an earlier term: a former leader learns that it is replaced. */
  #stepOld({ type, from }: Message): void {
    if (type === 'append' || type === 'heartbeat')
      this.#send(from, { type: 'appended', index: 0, isRejected: false, hint: 0 });
    else if (type === 'preVote') this.#send(from, { type: 'preVoteReply', isRejected: true });
  }

  #stepVote(message: Message & { type: 'vote' | 'preVote' }): void {
    const { type, from, term, index, logTerm } = message;
    const isFree =
      this.votedFor === from ||
      (this.votedFor === NONE && this.lead === NONE) ||
      (type === 'preVote' && term > this.term);
    const isGranted = isFree && this.log.isUpToDate(index, logTerm);
    if (isGranted && type === 'vote') {
      this.#timer.restart();
      this.votedFor = from;
    }
    const reply = type === 'vote' ? 'voteReply' : 'preVoteReply';
    this.#send(from, { type: reply, term: isGranted ? term : this.term, isRejected: !isGranted });
  }

  #stepFromLeader(message: Message & { type: 'append' | 'heartbeat' | 'snapshot' }): void {
    const { from, term } = message;
    if (this.role !== 'follower') this.becomeFollower(term, from);
    this.lead = from;
    this.#timer.restart();
    if (message.type === 'heartbeat') {
      this.log.commitTo(message.commit);
      this.#send(from, { type: 'heartbeatReply', context: message.context });
    } else if (message.type === 'append') this.#accept(message);
    else this.#restore(message.snapshot, from);
  }

  #accept(message: Message & { type: 'append' }): void {
    const last = this.log.maybeAppend(message);
    const isRejected = last === undefined;
    const { from, index } = message;
    const hint = isRejected ? Math.min(index, this.log.lastIndex) : 0;
    this.#send(from, { type: 'appended', index: last ?? index, isRejected, hint });
  }

  #restore(snapshot: Snapshot, from: MemberId): void {
    if (this.log.restore(snapshot.index, snapshot.term)) this.#pending.install(snapshot);
    this.#send(from, { type: 'appended', index: this.log.commit, isRejected: false, hint: 0 });
  }

  #stepLeader(message: Message): void {
    const progress = this.#tracker.progress.get(message.from);
    if (progress === undefined) return;
    progress.isActive = true;
    if (message.type === 'heartbeatReply') {
      if (progress.match < this.log.lastIndex) {
        progress.next = progress.match + 1; // sent entries may be lost
        this.#sendAppend(message.from);
      }
      if (message.context !== '') this.#acknowledgeRead(message.from, message.context);
    } else if (message.type === 'appended') this.#appended(message, progress);
  }

  #appended({ from, index, isRejected, hint }: Message & { type: 'appended' }, progress: Progress): void {
    if (isRejected) {
      if (progress.reject(index, hint)) this.#sendAppend(from);
      return;
    }
    if (!progress.update(index)) return;
    if (this.#maybeCommit()) for (const to of this.#tracker.others) this.#sendAppend(to);
    else if (progress.next <= this.log.lastIndex) this.#sendAppend(from);
  }

  #stepCandidate(message: Message): void {
    const mine = this.role === 'candidate' ? 'voteReply' : 'preVoteReply';
    if (this.role === 'follower' || message.type !== mine) return;
    this.#tracker.recordVote(message.from, !message.isRejected);
    const result = this.#tracker.tallyVotes();
    if (result === 'won') this.#won();
    else if (result === 'lost') this.becomeFollower(this.term, NONE);
  }

  #readAtLeader(from: MemberId, context: string): void {
    if (this.#tracker.quorum === 1) return this.#answerRead({ from, context, index: this.log.commit });
    if (this.log.termAt(this.log.commit) !== this.term) {
      this.#reads.postpone(from, context);
      return;
    }
    this.#reads.add({ context, from, index: this.log.commit }, this.#options.id);
    this.#broadcastHeartbeat(context);
  }

  #acknowledgeRead(by: MemberId, context: string): void {
    const voter = this.#tracker.isVoter(by) ? by : undefined;
    for (const read of this.#reads.acknowledge(voter, context, this.#tracker.quorum)) this.#answerRead(read);
  }

  #answerRead({ from, context, index }: Read): void {
    if (from === this.#options.id) this.#pending.answer({ context, index });
    else this.#send(from, { type: 'readIndexReply', context, index });
  }

  #send(to: MemberId, body: Body<Message>): void {
    const base = { from: this.#options.id, to, term: body.term ?? this.term };
    this.#pending.send({ ...body, ...base } as Message);
  }

  /** The new work since the last call, for the caller to do. */
  takeReady(): Ready {
    return this.#pending.take(this, this.log);
  }

  /** Everything that was taken is on disk. */
  saved(): void {
    this.#pending.saved(this);
    this.log.unsavedFrom = Number.POSITIVE_INFINITY;
  }

  /** The process is killed and restarted: everything that is not on disk is lost. */
  restart(): void {
    this.log.loseUnsaved();
    const { term, votedFor } = this.#pending.lose();
    this.votedFor = votedFor;
    this.term = term;
    this.becomeFollower(term, NONE);
  }

  /** Whether a heartbeat to a follower would bring no news but their presence. */
  isInStep(other: Raft): boolean {
    const progress = this.#tracker.progress.get(other.#options.id);
    return (
      this.#reads.isEmpty &&
      other.role === 'follower' &&
      other.term === this.term &&
      other.lead === this.#options.id &&
      progress?.match === this.log.lastIndex &&
      other.log.commit === this.log.commit
    );
  }

  /** The effect of a heartbeat and its reply after `isInStep`. */
  touch(other: Raft): void {
    this.#tracker.progress.get(other.#options.id)!.isActive = true;
    other.#timer.restart();
  }
}
