/** One member as its clients and its operator see it. */
import type { LeaseAnswer, LeaseCall } from './lease-server.ts';
import type { Network, Peer } from './network.ts';
import { Process, type Random, type Scheduler } from './process.ts';
import type { MemberId, Message } from './raft-message.ts';
import { Server, type Reply, type Saved, type ServerOptions } from './server.ts';
import type { StreamEnd } from './watch-hub.ts';
import type { Raw } from './wire.ts';

export interface MemberOptions {
  readonly name: string;
  readonly id: MemberId;
  readonly memberId: string;
  readonly scheduler: Scheduler;
  readonly random: Random;
}

export interface BootOptions extends Omit<
  ServerOptions,
  'process' | 'send' | 'isConnectedSince' | 'forward' | 'memberIdOf'
> {
  readonly network: Network;
}

export interface ServerStream {
  /** In the client's form. */
  write(message: object): void;
  /** The client has disconnected, or has cancelled the call. */
  cancel(): void;
}

export class Member implements Peer {
  readonly #options: MemberOptions;
  readonly #process: Process;
  #server!: Server;
  #clusterId = '';
  #isFirstStart = true;
  #electionMs = 0;

  constructor(options: MemberOptions) {
    this.#options = options;
    this.#process = new Process(options.scheduler, options.random);
  }

  get name(): string {
    return this.#options.name;
  }

  get id(): MemberId {
    return this.#options.id;
  }

  /** etcd's `member_id`, in decimal. */
  get memberId(): string {
    return this.#options.memberId;
  }

  get clusterId(): string {
    return this.#clusterId;
  }

  /** Whether the process runs, frozen or not. */
  get isUp(): boolean {
    return this.#process.isUp;
  }

  /** Whether it answers clients unless it is frozen: it has been part of a quorum since its start. */
  get isReady(): boolean {
    return this.isUp && this.#isReady;
  }

  get isFrozen(): boolean {
    return this.#process.isFrozen;
  }

  /** Whether it believes that it leads. */
  get isLeader(): boolean {
    return this.#server.node.isLeader;
  }

  /** The term of its raft, which may be ahead of what it has applied. */
  get raftTerm(): number {
    return this.#server.node.raft.term;
  }

  get appliedIndex(): number {
    return this.#server.node.appliedIndex;
  }

  get saved(): Saved {
    return this.#server.saved;
  }

  /** Calls the listener whenever the process is killed. */
  onDown(listener: () => void): () => void {
    return this.#process.onDown(listener);
  }

  /** Creates its data directory, empty or from a backup. */
  boot({ network, ...options }: BootOptions): void {
    const { id } = this;
    this.#clusterId = options.clusterId;
    this.#electionMs = options.electionMs;
    this.#isFirstStart = true;
    const memberIds = new Map<MemberId, string>();
    this.#server = new Server({
      ...options,
      process: this.#process,
      send: (message, delayMs) => network.send(message, delayMs),
      isConnectedSince: (to, sinceMs) =>
        network.isConnectedSince(id, to, this.#options.scheduler.now() - (this.#process.now() - sinceMs)),
      forward: (to, call, done) =>
        network.ask(id, to, call, (answer) => this.#process.receive(`answers ${to}`, () => done(answer))),
      memberIdOf: (other) => {
        if (memberIds.size === 0)
          options.memberMessages().forEach((one, i) => memberIds.set(i + 1, one['ID'] as string));
        return memberIds.get(other)!;
      },
    });
  }

  /** @param method in the notation of etcd3's client: `range`, `put`, `txn`, `leaseGrant`, `status` and so on. */
  unary(method: string, request: object, reply: Reply): void {
    this.#take(this.#newLane(), () => this.#server.unary(method, request as Raw, reply));
  }

  stream(method: 'watch' | 'leaseKeepAlive', to: StreamEnd): ServerStream {
    const lane = this.#newLane();
    const later = this.#inOrder(lane, to);
    let open: { receive(message: Raw): void; close(): void } | undefined;
    const take = (run: (stream: NonNullable<typeof open>) => void): void =>
      this.#take(lane, () => open !== undefined && run(open));
    this.#take(lane, () => {
      const refusal = this.#server.streamRefusal;
      if (refusal !== undefined) later.end(refusal);
      else if (method === 'watch') open = this.#server.watch(later);
      else open = this.#server.leases.keepAlive(later, () => this.#server.header());
    });
    return {
      write: (message) => take((stream) => stream.receive(message as Raw)),
      cancel: () => take((stream) => stream.close()),
    };
  }

  #lanes = 0;
  /** It accepts connections, but reads nothing from them before a leader knows of it (ReadyNotify). */
  #isReady = false;
  #early: (() => void)[] = [];

  #take(lane: string, run: () => void): void {
    this.#process.receive(lane, () => {
      if (this.#isReady) run();
      else this.#early.push(run);
    });
  }

  /** EtcdServer.publish. */
  #publish(): void {
    this.#server.node.propose({ op: 'publish' }, (_outcome, refusal) => {
      if (refusal !== undefined) return this.#publish();
      this.#isReady = true;
      for (const run of this.#early.splice(0)) run();
    });
  }

  #newLane(): string {
    return `client ${++this.#lanes}`;
  }

  #inOrder(lane: string, to: StreamEnd): StreamEnd {
    return {
      data: (message) => void this.#process.after(0, lane, () => to.data(message)),
      end: (error) => void this.#process.after(0, lane, () => to.end(error)),
    };
  }

  /** SIGKILL. Calls and streams get no further answer. */
  kill(): void {
    this.#process.kill();
  }

  /** Starts with its existing data. It answers clients when it is part of a quorum; until then they wait. */
  start(): void {
    if (this.#process.isUp) return;
    this.#process.start();
    this.#server.started();
    // A single member hurries its first election. Others delay it by the time that they wait for their peers
    // (adjustTicks).
    const isAlone = this.#server.isSingle;
    this.#server.node.start(isAlone || !this.#isFirstStart ? this.#electionMs * (isAlone ? 0.9 : 0.8) : 0);
    this.#isFirstStart = false;
    this.#isReady = false;
    this.#early = [];
    this.#publish();
  }

  /** SIGSTOP. */
  freeze(): void {
    this.#process.freeze();
  }

  /** SIGCONT. */
  thaw(): void {
    const frozenMs = this.#process.thaw();
    if (frozenMs !== undefined) this.#server.node.thawed(frozenMs);
  }

  /** Writes to its disk take this long. */
  hangDisk(ms: number): void {
    this.#server.node.hangDisk(ms);
  }

  /** Stops reading from its watch streams for this long, so that messages wait. */
  starveWatches(ms: number): void {
    this.#server.hub.starve(ms);
  }

  /** 1 is exact; 1.05 gains 3 seconds a minute. */
  setClockRate(rate: number): void {
    this.#process.setRate(rate);
  }

  receive(message: Message): void {
    this.#process.receive(`peer ${message.from}`, () => this.#server.node.step(message));
  }

  answer(from: MemberId, call: LeaseCall, done: (answer: LeaseAnswer) => void): void {
    this.#process.receive(`asks ${from} ${++this.#lanes}`, () => this.#server.leases.handle(call, done));
  }

  touched(by: Member): boolean {
    const { node } = this.#server;
    const { raft } = by.#server.node;
    if (this.isFrozen || node.isStuck || !raft.isInStep(node.raft)) return false;
    raft.touch(node.raft);
    return true;
  }
}
