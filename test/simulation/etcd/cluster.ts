/**
 * A simulated etcd cluster: what its clients can see of it, and the faults that its members and the network between them
 * can have. It reads no clock, sets no timer and draws no random number of its own, so a seed repeats it.
 *
 * The network between clients and members is not in here: a member takes a call as soon as it is made, and answers through
 * the scheduler, never before the call has returned. A killed member answers nothing any more and ends no stream:
 * `isUp` and `onDown` tell the network, which breaks the connections. A frozen one takes calls and answers when it is thawed.
 */
import { NO_DEFECTS, type Defects } from './defects.ts';
import { Member } from './member.ts';
import { Network } from './network.ts';
import type { Random, Scheduler } from './process.ts';
import { REFUSALS } from './refusals.ts';
import type { Saved } from './server.ts';
import type { Raw } from './wire.ts';

export { defectsOf, type Defects } from './defects.ts';
export type { Member } from './member.ts';
export type { Random, Scheduler } from './process.ts';
export type { EtcdRefusal } from './wire.ts';

export interface ClusterOptions {
  readonly scheduler: Scheduler;
  readonly random: Random;
  /** How many. Default: 3. */
  readonly members?: number;
  /** How many of them only listen: the last ones. Default: 0. */
  readonly learners?: number;
  readonly defects?: Partial<Defects>;
  /** Default: 1000, as etcd's. */
  readonly electionTimeoutMs?: number;
  /** Default: 100, as etcd's. */
  readonly heartbeatMs?: number;
  /** In decimal. Default: drawn. */
  readonly clusterId?: string;
  /** Between two members, one way: at least and at most. Default: 0.2 to 1. */
  readonly linkDelayMs?: readonly [number, number];
  /** Default: true from 3.5 on, as etcd's. */
  readonly preVote?: boolean;
  /** What `status` says, and what 3.4 does differently; its defects are chosen apart (`defectsOf`). Default: 3.5.16. */
  readonly version?: string;
  /** How many entries a member keeps before it begins a log anew. Default: 10000. */
  readonly snapshotCount?: number;
  /** How many of them it keeps then for those who lag behind; who lags more is sent a snapshot. Default: 5000. */
  readonly catchUpEntries?: number;
  /** Begins with this data, as after `etcdutl snapshot restore`. */
  readonly from?: ClusterSnapshot;
}

/** A backup of one member's data. */
export interface ClusterSnapshot {
  readonly saved: Saved;
}

export class Cluster {
  readonly #options: ClusterOptions;
  readonly #network: Network;
  #members: readonly Member[];
  #clusterId: string;

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.#network = new Network(options.scheduler, options.random, options.linkDelayMs ?? [0.2, 1]);
    this.#clusterId = options.clusterId ?? drawId(options.random);
    const { members = 3 } = options;
    const names = Array.from({ length: members }, (_, i) => `etcd${i + 1}`);
    this.#members = names.map((name, i) => this.#newMember(name, i + 1));
    this.#boot(options.from?.saved);
  }

  /** All run from the start. They stay the same objects whatever happens to them. */
  get members(): readonly Member[] {
    return this.#members;
  }

  get clusterId(): string {
    return this.#clusterId;
  }

  /** Who leads as most members see it, if anybody does. */
  get leader(): Member | undefined {
    const leaders = this.#members.filter((member) => member.isUp && member.isLeader);
    return leaders.sort((a, b) => b.raftTerm - a.raftTerm)[0];
  }

  #newMember(name: string, id: number): Member {
    const { scheduler, random } = this.#options;
    return new Member({ name, id, memberId: drawId(random), scheduler, random });
  }

  #boot(saved: Saved | undefined): void {
    const { random, defects, electionTimeoutMs, heartbeatMs, preVote, learners = 0 } = this.#options;
    const { version = '3.5.16' } = this.#options;
    const isOf34 = version.startsWith('3.4.');
    const ids = this.#members.map(({ id }) => id);
    const voters = ids.slice(0, ids.length - learners);
    for (const member of this.#members) {
      member.boot({
        random,
        saved,
        id: member.id,
        memberId: member.memberId,
        clusterId: this.#clusterId,
        voters,
        learners: ids.slice(voters.length),
        defects: { ...NO_DEFECTS, ...defects },
        electionMs: electionTimeoutMs ?? 1_000,
        heartbeatMs: heartbeatMs ?? 100,
        hasPreVote: preVote ?? !isOf34,
        version,
        deadlineExceeded: isOf34 ? REFUSALS.deadlineExceededUnknown : REFUSALS.deadlineExceeded,
        snapshotCount: this.#options.snapshotCount ?? 10_000,
        catchUpEntries: this.#options.catchUpEntries ?? 5_000,
        network: this.#network,
        memberMessages: () => this.#memberMessages(voters.length),
      });
      this.#network.add(member);
    }
    for (const member of this.#members) member.start();
  }

  #memberMessages(voters: number): readonly Raw[] {
    return this.#members.map(({ memberId, name, id }) => ({
      ID: memberId,
      name,
      peerURLs: [`http://${name}:2380`],
      clientURLs: [`http://${name}:2379`],
      isLearner: id > voters,
    }));
  }

  /** Nothing goes from `a` to `b`, nor, unless `oneWay`, back. What is sent meanwhile comes later, or not at all after five seconds. */
  cut(a: Member, b: Member, oneWay = false): void {
    this.#network.cut(a.id, b.id);
    if (!oneWay) this.#network.cut(b.id, a.id);
  }

  /** Cuts one member off from all others. @param only one direction: what it says, or what it hears. */
  isolate(member: Member, only?: 'says' | 'hears'): void {
    for (const other of this.#members) {
      if (other === member) continue;
      if (only !== 'hears') this.#network.cut(member.id, other.id);
      if (only !== 'says') this.#network.cut(other.id, member.id);
    }
  }

  /** Mends every cut, or those between two members. */
  heal(a?: Member, b?: Member): void {
    this.#network.heal(a?.id, b?.id);
  }

  /** The data that a member has applied; without one, that of the member that has applied most. */
  snapshot(of?: Member): ClusterSnapshot {
    const member = of ?? [...this.#members].sort((a, b) => b.appliedIndex - a.appliedIndex)[0]!;
    return { saved: member.saved };
  }

  /** All members are killed, and start with empty data. @param clusterId of the new one; the same where it is left out, as etcd's is with the same configuration. */
  wipe({ clusterId }: { clusterId?: string } = {}): void {
    this.#replace(undefined, clusterId);
  }

  /** All members are killed, and start with a backup's data: raft's terms begin anew. */
  restore(
    { saved }: ClusterSnapshot,
    { bumpRevision = 0, clusterId }: { bumpRevision?: number; clusterId?: string } = {},
  ): void {
    const store = saved.store.clone();
    if (bumpRevision > 0) store.bump(bumpRevision);
    this.#replace({ ...saved, store }, clusterId);
  }

  #replace(saved: Saved | undefined, clusterId = this.#clusterId): void {
    for (const member of this.#members) member.kill();
    this.#clusterId = clusterId;
    this.#boot(saved);
  }

  /** As `etcdctl compact` does it; says nothing of the outcome. */
  compact(revision: number): void {
    this.leader?.unary('compact', { revision: String(revision) }, () => undefined);
  }
}

function drawId(random: Random): string {
  const high = BigInt(Math.floor(random() * 2 ** 32));
  return String((high << 32n) | BigInt(Math.floor(random() * 2 ** 32)));
}
