/**
 * One member's part in raft, after etcd's raft.go with its two safeguards CheckQuorum and (from 3.5) PreVote. It
 * has no timers and sends nothing: the member calls it, and takes the pending work from `takeReady`.
 */
import { LeaderReads } from './leader-reads.ts';
import { RaftLog, type Entry, type Proposal } from './raft-log.ts';
import { NONE, type Body, type MemberId, type Message, type Snapshot } from './raft-message.ts';

interface Progress {
  match: number;
  next: number;
  isActive: boolean;
}

export interface Ready {
  readonly messages: readonly Message[];
  readonly reads: readonly { readonly context: string; readonly index: number }[];
  readonly committed: readonly Entry[];
  readonly snapshot: Snapshot | undefined;
  /** Whether a follower must write to disk before it sends its messages. */
  readonly mustSync: boolean;
}

export interface RaftOptions {
  readonly id: MemberId;
  readonly voters: readonly MemberId[];
  readonly learners: readonly MemberId[];
  readonly electionMs: number;
  readonly heartbeatMs: number;
  readonly hasPreVote: boolean;
  /** Time as this member's ticks count it: not while it is stopped. */
  readonly now: () => number;
  readonly random: () => number;
  /** A snapshot of what this member has applied. */
  readonly takeSnapshot: () => Snapshot;
}

export class Raft {
  readonly #options: RaftOptions;
  readonly #quorum: number;
  readonly #isVoter: boolean;
  readonly #others: readonly MemberId[];
  readonly log = new RaftLog();
  term = 1;
  votedFor: MemberId = NONE;
  role: 'follower' | 'preCandidate' | 'candidate' | 'leader' = 'follower';
  lead: MemberId = NONE;
  commit = 0;
  applied = 0;
  #resetAtMs: number;
  #timeoutMs = 0;
  #heartbeatAtMs = 0;
  readonly #progress = new Map<MemberId, Progress>();
  readonly #votes = new Map<MemberId, boolean>();
  readonly #reads = new LeaderReads();
  #messages: Message[] = [];
  #readStates: { context: string; index: number }[] = [];
  #snapshot: Snapshot | undefined;
  #savedTerm = 1;
  #savedVote: MemberId = NONE;

  constructor(options: RaftOptions) {
    const { id, voters, learners } = options;
    this.#options = options;
    this.#quorum = Math.floor(voters.length / 2) + 1;
    this.#isVoter = voters.includes(id);
    this.#others = [...voters, ...learners].filter((other) => other !== id);
    this.#resetAtMs = options.now();
    this.becomeFollower(1, NONE); // the members themselves are entries of term 1
  }

  /** When `tick` is due. */
  get dueAtMs(): number {
    if (this.role === 'leader') return this.#heartbeatAtMs;
    return this.#isVoter ? this.#resetAtMs + this.#timeoutMs : Number.POSITIVE_INFINITY;
  }

  /** Moves the election timer, because the clock was stopped or the first election is hurried. */
  shiftElection(ms: number): void {
    this.#resetAtMs += ms;
  }

  tick(): void {
    const { now, electionMs, heartbeatMs } = this.#options;
    if (now() < this.dueAtMs) return;
    if (this.role !== 'leader') {
      this.#resetAtMs = now();
      this.#campaign(this.#options.hasPreVote ? 'preCandidate' : 'candidate');
      return;
    }
    this.#heartbeatAtMs = now() + heartbeatMs;
    if (now() - this.#resetAtMs >= electionMs) {
      this.#resetAtMs = now();
      if (!this.#hasQuorum()) return this.becomeFollower(this.term, NONE);
    }
    this.#broadcastHeartbeat(this.#reads.lastContext);
  }

  /** CheckQuorum: whether most members were heard since the last check. */
  #hasQuorum(): boolean {
    let active = 1;
    for (const [id, progress] of this.#progress) {
      if (progress.isActive && this.#options.voters.includes(id)) active++;
      progress.isActive = false;
    }
    return active >= this.#quorum;
  }

  #reset(term: number): void {
    const { electionMs, heartbeatMs, random, now } = this.#options;
    if (this.term !== term) this.votedFor = NONE;
    this.term = term;
    this.lead = NONE;
    this.#resetAtMs = now();
    this.#timeoutMs = electionMs + Math.floor(random() * (electionMs / heartbeatMs)) * heartbeatMs;
    this.#votes.clear();
    this.#progress.clear();
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
      this.#votes.clear();
      this.lead = NONE;
    }
    this.role = role;
    this.#votes.set(id, true);
    if (this.#quorum === 1) return this.#won();
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
    const { id, now, heartbeatMs } = this.#options;
    this.#reset(this.term);
    this.role = 'leader';
    this.lead = id;
    const next = this.log.lastIndex + 1;
    for (const other of this.#others) this.#progress.set(other, { match: 0, next, isActive: true });
    this.#heartbeatAtMs = now() + heartbeatMs;
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
    for (const to of this.#others) this.#sendAppend(to);
  }

  /** @returns whether more is committed. Only entries of its own term count. */
  #maybeCommit(): boolean {
    const { voters, id } = this.#options;
    const matches = voters.map((voter) =>
      voter === id ? this.log.lastIndex : this.#progress.get(voter)!.match,
    );
    const index = matches.sort((a, b) => b - a)[this.#quorum - 1]!;
    if (index <= this.commit || this.log.termAt(index) !== this.term) return false;
    this.commit = index;
    for (const { from, context } of this.#reads.takeEarly()) this.#readAtLeader(from, context);
    return true;
  }

  #sendAppend(to: MemberId): void {
    const progress = this.#progress.get(to)!;
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
    this.#send(to, { type: 'append', index, logTerm, entries, commit: this.commit });
  }

  #broadcastHeartbeat(context: string): void {
    for (const [to, { match }] of this.#progress)
      this.#send(to, { type: 'heartbeat', commit: Math.min(match, this.commit), context });
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
        this.#readStates.push(message);
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
    const { now, electionMs } = this.#options;
    const isVote = type === 'vote' || type === 'preVote';
    // CheckQuorum: a member that hears a leader does not vote for another one.
    if (isVote && this.lead !== NONE && now() - this.#resetAtMs < electionMs) return false;
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
      this.#resetAtMs = this.#options.now();
      this.votedFor = from;
    }
    const reply = type === 'vote' ? 'voteReply' : 'preVoteReply';
    this.#send(from, { type: reply, term: isGranted ? term : this.term, isRejected: !isGranted });
  }

  #stepFromLeader(message: Message & { type: 'append' | 'heartbeat' | 'snapshot' }): void {
    const { from, term } = message;
    if (this.role !== 'follower') this.becomeFollower(term, from);
    this.lead = from;
    this.#resetAtMs = this.#options.now();
    if (message.type === 'heartbeat') {
      this.#commitTo(message.commit);
      this.#send(from, { type: 'heartbeatReply', context: message.context });
    } else if (message.type === 'append') this.#accept(message);
    else this.#restore(message.snapshot, from);
  }

  #commitTo(index: number): void {
    this.commit = Math.max(this.commit, Math.min(index, this.log.lastIndex));
  }

  #accept({ from, index, logTerm, entries, commit }: Message & { type: 'append' }): void {
    const done = (upTo: number): void =>
      this.#send(from, { type: 'appended', index: upTo, isRejected: false, hint: 0 });
    if (index < this.commit) return done(this.commit);
    if (this.log.termAt(index) !== logTerm) {
      const hint = Math.min(index, this.log.lastIndex);
      this.#send(from, { type: 'appended', index, isRejected: true, hint });
      return;
    }
    this.log.merge(entries);
    const last = index + entries.length;
    this.#commitTo(Math.min(commit, last));
    done(last);
  }

  #restore(snapshot: Snapshot, from: MemberId): void {
    if (snapshot.index > this.commit) {
      this.log.reset(snapshot.index, snapshot.term);
      this.commit = snapshot.index;
      this.applied = snapshot.index;
      this.#snapshot = snapshot;
    }
    this.#send(from, { type: 'appended', index: this.commit, isRejected: false, hint: 0 });
  }

  #stepLeader(message: Message): void {
    const progress = this.#progress.get(message.from);
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
      if (index <= progress.match) return; // late
      progress.next = Math.max(progress.match + 1, Math.min(index, hint + 1));
      this.#sendAppend(from);
      return;
    }
    if (index <= progress.match) return;
    progress.match = index;
    progress.next = Math.max(progress.next, index + 1);
    if (this.#maybeCommit()) for (const to of this.#others) this.#sendAppend(to);
    else if (progress.next <= this.log.lastIndex) this.#sendAppend(from);
  }

  #stepCandidate(message: Message): void {
    const mine = this.role === 'candidate' ? 'voteReply' : 'preVoteReply';
    if (this.role === 'follower' || message.type !== mine) return;
    if (!this.#votes.has(message.from)) this.#votes.set(message.from, !message.isRejected);
    const votes = [...this.#votes.values()];
    if (votes.filter(Boolean).length >= this.#quorum) this.#won();
    else if (votes.filter((isYes) => !isYes).length >= this.#quorum) this.becomeFollower(this.term, NONE);
  }

  #readAtLeader(from: MemberId, context: string): void {
    if (this.#quorum === 1) return this.#answerRead(from, context, this.commit);
    if (this.log.termAt(this.commit) !== this.term) {
      this.#reads.postpone(from, context);
      return;
    }
    this.#reads.add({ context, from, index: this.commit }, this.#options.id);
    this.#broadcastHeartbeat(context);
  }

  #acknowledgeRead(by: MemberId, context: string): void {
    const voter = this.#options.voters.includes(by) ? by : undefined;
    for (const { from, context: name, index } of this.#reads.acknowledge(voter, context, this.#quorum))
      this.#answerRead(from, name, index);
  }

  #answerRead(from: MemberId, context: string, index: number): void {
    if (from === this.#options.id) this.#readStates.push({ context, index });
    else this.#send(from, { type: 'readIndexReply', context, index });
  }

  #send(to: MemberId, body: Body<Message>): void {
    const base = { from: this.#options.id, to, term: body.term ?? this.term };
    this.#messages.push({ ...body, ...base } as Message);
  }

  /** The new work since the last call, for the caller to do. */
  takeReady(): Ready {
    const isNewState = this.term !== this.#savedTerm || this.votedFor !== this.#savedVote;
    const ready: Ready = {
      messages: this.#messages,
      reads: this.#readStates,
      committed: this.commit > this.applied ? this.log.from(this.applied + 1, this.commit) : [],
      snapshot: this.#snapshot,
      mustSync: isNewState || Number.isFinite(this.log.unsavedFrom) || this.#snapshot !== undefined,
    };
    this.applied = this.commit;
    this.#messages = [];
    this.#readStates = [];
    this.#snapshot = undefined;
    return ready;
  }

  /** Everything that was taken is on disk. */
  saved(): void {
    this.#savedTerm = this.term;
    this.#savedVote = this.votedFor;
    this.log.unsavedFrom = Number.POSITIVE_INFINITY;
  }

  /** The process is killed and restarted: everything that is not on disk is lost. */
  restart(): void {
    if (Number.isFinite(this.log.unsavedFrom))
      this.log.cutFrom(Math.max(this.log.unsavedFrom, this.applied + 1));
    this.log.unsavedFrom = Number.POSITIVE_INFINITY;
    this.votedFor = this.#savedVote;
    this.term = this.#savedTerm;
    this.#messages = [];
    this.#readStates = [];
    this.becomeFollower(this.#savedTerm, NONE);
    this.commit = Math.min(this.commit, this.log.lastIndex);
  }

  /** Whether a heartbeat to a follower would bring no news but their presence. */
  isInStep(other: Raft): boolean {
    const progress = this.#progress.get(other.#options.id);
    return (
      this.#reads.isEmpty &&
      other.role === 'follower' &&
      other.term === this.term &&
      other.lead === this.#options.id &&
      progress?.match === this.log.lastIndex &&
      other.commit === this.commit
    );
  }

  /** The effect of a heartbeat and its reply after `isInStep`. */
  touch(other: Raft): void {
    this.#progress.get(other.#options.id)!.isActive = true;
    other.#resetAtMs = other.#options.now();
  }
}
