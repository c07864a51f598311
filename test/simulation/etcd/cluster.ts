/**
 * A simulated etcd cluster: what clients can see of it, and the faults of its members and of the network between
 * them. It reads no clock, sets no timer and draws no random number of its own, so a seed repeats it. The
 * network between clients and members is not part of it. A member accepts a call at once, and answers through
 * the scheduler, never before the call has returned. A killed member answers nothing more and ends no stream:
 * `isUp` and `onDown` inform the network, which breaks the connections. A frozen member accepts calls, and
 * answers after the thaw.
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
  /** The number of members. Default: 3. */
  readonly members?: number;
  /** How many of them are learners: the last ones. Default: 0. */
  readonly learners?: number;
  readonly defects?: Partial<Defects>;
  /** Default: 1000, as in etcd. */
  readonly electionTimeoutMs?: number;
  /** Default: 100, as in etcd. */
  readonly heartbeatMs?: number;
  /** In decimal. Default: random. */
  readonly clusterId?: string;
  /** The delay between two members in one direction: least and most. Default: 0.2 to 1. */
  readonly linkDelayMs?: readonly [number, number];
  /** Default: true from 3.5 on, as in etcd. */
  readonly preVote?: boolean;
  /**
   * The version in `status`, and the differences of 3.4. Its defects are set separately (`defectsOf`). Default:
   * 3.5.16.
   */
  readonly version?: string;
  /** How many entries a member keeps before it starts a new log. Default: 10000. */
  readonly snapshotCount?: number;
  /** How many entries it then keeps for lagging members. A member that lags further gets a snapshot. Default: 5000. */
  readonly catchUpEntries?: number;
  /** Starts with this data, as after `etcdutl snapshot restore`. */
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

  /** All run from the start. They stay the same objects throughout. */
  get members(): readonly Member[] {
    return this.#members;
  }

  get clusterId(): string {
    return this.#clusterId;
  }

  /** The leader in the view of most members, if there is one. */
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

  /**
   * Stops traffic from `a` to `b` and, unless `oneWay`, back. Messages sent meanwhile arrive later, or never
   * after five seconds.
   */
  cut(a: Member, b: Member, oneWay = false): void {
    this.#network.cut(a.id, b.id);
    if (!oneWay) this.#network.cut(b.id, a.id);
  }

  /**
   * Cuts one member off from all others.
   * @param only one direction: what it says, or what it hears.
   */
  isolate(member: Member, only?: 'says' | 'hears'): void {
    for (const other of this.#members) {
      if (other === member) continue;
      if (only !== 'hears') this.#network.cut(member.id, other.id);
      if (only !== 'says') this.#network.cut(other.id, member.id);
    }
  }

  /** Removes every cut, or that between two members. */
  heal(a?: Member, b?: Member): void {
    this.#network.heal(a?.id, b?.id);
  }

  /** The data that a member has applied. Default: the member that has applied most. */
  snapshot(of?: Member): ClusterSnapshot {
    const member = of ?? [...this.#members].sort((a, b) => b.appliedIndex - a.appliedIndex)[0]!;
    return { saved: member.saved };
  }

  /**
   * Kills all members, and starts them with empty data.
   * @param clusterId of the new cluster. Default: the same one, as etcd gives with the same configuration.
   */
  wipe({ clusterId }: { clusterId?: string } = {}): void {
    this.#replace(undefined, clusterId);
  }

  /** Kills all members, and starts them with a backup's data: raft's terms start again. */
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
    this.#network.forget();
    this.#clusterId = clusterId;
    this.#boot(saved);
  }

  /** Like `etcdctl compact`, without a report of the outcome. */
  compact(revision: number): void {
    this.leader?.unary('compact', { revision: String(revision) }, () => undefined);
  }
}

function drawId(random: Random): string {
  const high = BigInt(Math.floor(random() * 2 ** 32));
  return String((high << 32n) | BigInt(Math.floor(random() * 2 ** 32)));
}
