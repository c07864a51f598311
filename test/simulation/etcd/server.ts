/**
 * The answers of one member: etcd's v3rpc handlers and EtcdServer (v3_server.go) above its raft loop, data and
 * leases.
 */
import { applyRange, applyTxn, applyWrite, type Data } from './apply.ts';
import type { Defects } from './defects.ts';
import { dialectOf, type Dialect } from './dialect.ts';
import { LeaseServer, type Forward } from './lease-server.ts';
import { Lessor, type SavedLease } from './lessor.ts';
import { Node, type NodeHost, type NodeOptions } from './node.ts';
import type { Entry } from './raft-log.ts';
import type { MemberId, Message, Snapshot } from './raft-message.ts';
import { isRefused, outcomeOf, Refused, REFUSALS, refuse } from './refusals.ts';
import {
  check,
  checkOverlaps,
  isReadOnly,
  isSerializable,
  parseDelete,
  parsePut,
  parseRange,
  parseTxn,
  pathOfReads,
  type DeleteRequest,
  type PutRequest,
  type TxnRequest,
} from './requests.ts';
import { Store } from './store.ts';
import { WatchHub, type StreamEnd } from './watch-hub.ts';
import { idOf, NO_LEASE, numberOf, type EtcdRefusal, type Header, type Raw } from './wire.ts';

/** Config.MaxTxnOps. */
const MAX_TXN_OPS = 128;

export type Reply = (error: EtcdRefusal | null, response?: object) => void;

/** The commands that go through raft. */
export type Command =
  | PutRequest
  | DeleteRequest
  | TxnRequest
  | { readonly op: 'compact'; readonly revision: number }
  | { readonly op: 'grant'; readonly id: string; readonly ttlSeconds: number }
  | { readonly op: 'revoke'; readonly id: string }
  /** A member has started. */
  | { readonly op: 'publish' };

/** A member's data in a backup. */
export interface Saved {
  readonly store: Store;
  readonly leases: readonly SavedLease[];
}

export interface ServerOptions extends Omit<NodeOptions, 'host'> {
  readonly clusterId: string;
  readonly memberId: string;
  readonly version: string;
  readonly defects: Defects;
  readonly saved: Saved | undefined;
  readonly snapshotCount: number;
  readonly catchUpEntries: number;
  send(message: Message, delayMs: number): void;
  isConnectedSince(to: MemberId, sinceMs: number): boolean;
  readonly forward: Forward;
  /** All members, for MemberList. */
  memberMessages(): readonly Raw[];
  readonly memberIdOf: (id: MemberId) => string;
}

export class Server implements NodeHost {
  readonly #options: ServerOptions;
  readonly node: Node;
  readonly lessor: Lessor;
  readonly leases: LeaseServer;
  readonly hub: WatchHub;
  readonly #dialect: Dialect;
  #store: Store;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#dialect = dialectOf(options.version);
    const { process, heartbeatMs, electionMs, saved } = options;
    const minTtlSeconds = Math.ceil((Math.floor((3 * (electionMs / heartbeatMs)) / 2) * heartbeatMs) / 1000);
    this.#store = saved?.store.clone() ?? new Store();
    this.lessor = new Lessor(minTtlSeconds, () => process.now());
    this.lessor.recover(saved?.leases ?? [], this.#store.all());
    this.node = new Node({ ...options, host: this });
    this.leases = new LeaseServer({ ...options, node: this.node, lessor: this.lessor });
    this.hub = this.#newHub();
  }

  #newHub(): WatchHub {
    const { process, random, defects } = this.#options;
    return new WatchHub({
      defects,
      random,
      now: () => process.now(),
      store: () => this.#store,
      header: (revision) => ({ ...this.header(), revision: String(revision) }), // 0 too
      after: (ms, run) => process.after(ms, 'watch', run),
    });
  }

  get #data(): Data {
    const { defects } = this.#options;
    return { store: this.#store, leases: this.lessor, defects, dialect: this.#dialect };
  }

  /** The process starts with its existing data. */
  started(): void {
    if (this.#options.defects.restartDropsDelete) this.#store.dropDeletes();
    this.leases.started();
    this.hub.reset();
    this.lessor.demote();
  }

  get isSingle(): boolean {
    return this.#options.voters.length === 1;
  }

  get saved(): Saved {
    return { store: this.#store.clone(), leases: this.lessor.save() };
  }

  /**
   * hdr.fill.
   * @param revision 0 if the response has no revision of its own.
   */
  header(revision = 0): Header {
    const { clusterId, memberId } = this.#options;
    return {
      cluster_id: clusterId,
      member_id: memberId,
      revision: String(revision || this.#store.revision),
      raft_term: String(this.node.appliedTerm),
    };
  }

  unary(method: string, request: Raw, reply: Reply): void {
    const { process, learners, id } = this.#options;
    const later: Reply = (error, response) => void process.after(0, 'reply', () => reply(error, response));
    try {
      const isServed = method === 'status' || (method === 'range' && request['serializable'] === true);
      if (learners.includes(id) && !isServed) refuse('notForLearner');
      this.#handle(method, request, later);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      later(error.refusal);
    }
  }

  #handle(method: string, request: Raw, reply: Reply): void {
    switch (method) {
      case 'range':
        return this.#range(request, reply);
      case 'put':
        return this.#write(parsePut(request), reply);
      case 'deleteRange':
        return this.#write(parseDelete(request), reply);
      case 'txn':
        return this.#txn(parseTxn(request, pathOfReads(this.#dialect)), reply);
      case 'compact':
        return this.#propose({ op: 'compact', revision: numberOf(request['revision']) }, reply);
      case 'leaseGrant':
        return this.#propose(
          { op: 'grant', id: this.#leaseIdFor(request), ttlSeconds: numberOf(request['TTL']) },
          reply,
        );
      case 'leaseRevoke':
        return this.#propose({ op: 'revoke', id: idOf(request['ID']) }, reply);
      case 'leaseTimeToLive':
        return this.leases.timeToLive(request, reply, (revision) => this.header(revision));
      case 'leaseLeases':
        return reply(null, { header: this.header(), leases: this.lessor.ids.map((ID) => ({ ID })) });
      case 'status':
        return reply(null, this.#status());
      case 'memberList':
        return this.#memberList(request, reply);
      case 'authenticate':
        return refuse('authNotEnabled');
      default:
        return refuse('unimplemented');
    }
  }

  #leaseIdFor(request: Raw): string {
    const { random } = this.#options;
    const id = idOf(request['ID']);
    if (id !== NO_LEASE) return id;
    return String((BigInt(Math.floor(random() * 2 ** 31)) << 32n) | BigInt(Math.floor(random() * 2 ** 32)));
  }

  #range(request: Raw, reply: Reply): void {
    const range = parseRange(request, pathOfReads(this.#dialect));
    check(range, 0);
    const read = this.#answer(reply, () => applyRange(this.#data, range));
    if (range.serializable) read();
    else this.node.linearizable(read);
  }

  #write(request: PutRequest | DeleteRequest, reply: Reply): void {
    check(request, 0);
    this.#propose(request, reply);
  }

  #txn(request: TxnRequest, reply: Reply): void {
    check(request, MAX_TXN_OPS);
    checkOverlaps(request.success);
    checkOverlaps(request.failure);
    if (!isReadOnly(request)) return this.#propose(request, reply);
    const read = this.#answer(reply, () => applyTxn(this.#data, request));
    if (isSerializable(request)) read();
    else this.node.linearizable(read);
  }

  /** Reads when the read is allowed, and fills the header then. */
  #answer(reply: Reply, read: () => Raw & { revision: number }): (refusal?: EtcdRefusal) => void {
    return (refusal) => {
      if (refusal !== undefined) return reply(refusal);
      const outcome = outcomeOf(read);
      if (isRefused(outcome)) return reply(outcome.refused);
      const { revision, ...response } = outcome;
      reply(null, { ...response, header: this.header(revision) });
    };
  }

  #propose(command: Command, reply: Reply): void {
    this.node.propose(command, (outcome, refusal) => {
      const refused = refusal ?? (isRefused(outcome) ? outcome.refused : undefined);
      if (refused !== undefined) return reply(refused);
      const response = outcome as { header: Header };
      reply(null, { ...response, header: this.header(Number(response.header.revision)) });
    });
  }

  #status(): object {
    const { node } = this;
    const { version, id, learners, memberIdOf } = this.#options;
    return {
      header: this.header(),
      version,
      dbSize: '20480',
      leader: node.lead === 0 ? '0' : memberIdOf(node.lead),
      raftIndex: String(node.committedIndex),
      raftTerm: String(node.appliedTerm),
      raftAppliedIndex: String(node.appliedIndex),
      errors: node.lead === 0 ? [REFUSALS.noLeader.message] : [],
      dbSizeInUse: '16384',
      isLearner: learners.includes(id),
    };
  }

  #memberList(request: Raw, reply: Reply): void {
    const answer = (refusal?: EtcdRefusal): void => {
      const header = { ...this.header(), revision: '0' };
      if (refusal !== undefined) reply(refusal);
      else reply(null, { header, members: this.#options.memberMessages() });
    };
    if (request['linearizable'] === true) this.node.linearizable(answer);
    else answer();
  }

  /** The member's own error that ends a stream; undefined if it accepts the stream. */
  get streamRefusal(): EtcdRefusal | undefined {
    const { learners, id } = this.#options;
    return learners.includes(id) ? REFUSALS.notForLearner : undefined;
  }

  watch(to: StreamEnd): { receive(message: Raw): void; close(): void } {
    const stream = this.hub.open(to);
    return { receive: (message) => stream.receive(message), close: () => this.hub.close(stream) };
  }

  apply({ proposal, index }: Entry): unknown {
    const { snapshotCount, catchUpEntries, electionMs } = this.#options;
    const { log } = this.node.raft;
    if (index - log.firstIndex > snapshotCount) log.compact(index - catchUpEntries);
    if (proposal === undefined) {
      // All entries of earlier terms are applied: the leader starts to count leases (applyEntryNormal).
      if (this.node.isLeader) {
        this.lessor.promote(electionMs);
        this.leases.startScanning();
      }
      return undefined;
    }
    const outcome = outcomeOf(() => this.#applyCommand(proposal.request as Command));
    const changes = this.#store.end();
    if (changes.length > 0) this.hub.notify(this.#store.revision, changes);
    return outcome;
  }

  #applyCommand(command: Command): Raw {
    const data = this.#data;
    const { defects } = this.#options;
    switch (command.op) {
      case 'txn': {
        const { revision: _, ...response } = applyTxn(data, command);
        return response;
      }
      case 'compact':
        this.#store.compact(command.revision, defects.compactionDropsDelete);
        return { header: { revision: this.#store.revision } };
      case 'grant': {
        const ttlSeconds = this.lessor.grant(command.id, command.ttlSeconds);
        return {
          header: { revision: this.#store.revision },
          ID: command.id,
          TTL: String(ttlSeconds),
          error: '',
        };
      }
      case 'revoke': {
        for (const key of this.lessor.revoke(command.id)) this.#store.delete(key, undefined, this.lessor);
        this.lessor.revoked(command.id);
        return { header: { revision: 0 } };
      }
      case 'publish':
        return {};
      case 'put':
      case 'deleteRange':
        return applyWrite(data, command);
    }
  }

  restore(snapshot: Snapshot): void {
    const { store, leases } = snapshot.state as Saved;
    this.#store = store.clone();
    this.lessor.recover(leases, this.#store.all());
    this.hub.restored();
  }

  takeSnapshot(): Snapshot {
    const { appliedIndex, raft } = this.node;
    return { index: appliedIndex, term: raft.log.termAt(appliedIndex)!, state: this.saved };
  }

  leadershipChanged(): void {
    if (!this.node.isLeader) this.lessor.demote();
  }

  send(message: Message, delayMs: number): void {
    this.#options.send(message, delayMs);
  }

  isConnectedSince(to: MemberId, sinceMs: number): boolean {
    return this.#options.isConnectedSince(to, sinceMs);
  }
}
