/**
 * Grants, renews and revokes a lease with etcd's raw calls. etcd3's own `Lease` is not safe here. It counts the TTL
 * from the reply, and assumes that etcd granted the TTL that it asked for. It reports the loss of the lease only after
 * twice the TTL.
 */
import { randomBytes } from 'node:crypto';
import type { ILeaseKeepAliveRequest, ILeaseKeepAliveResponse } from 'etcd3';
import type { LeaseProof } from '../core/deadline.ts';
import { clock } from '../util/clock.ts';
import { Deferred } from '../util/deferred.ts';
import { settle, type Limits } from '../util/settle.ts';
import { isConfirmed, type OwnKey } from './confirmation.ts';
import { EtcdError, isTokenRefused } from './etcd-error.ts';
import { NEW_TOKENS } from './token.ts';
import type { CallLimits, Host, EtcdTransport, OpenStream } from './transport.ts';

/**
 * A random lease ID of 63 bits, in decimal. We choose the ID ourselves, so a repeated grant asks for the same lease.
 * Otherwise every unanswered try would leave another lease in etcd.
 */
export function newLeaseId(): string {
  return (randomBytes(8).readBigUInt64BE() >> 1n || 1n).toString();
}

/** @returns undefined if an earlier grant of this ID had succeeded, but its answer was lost. @throws {EtcdError} */
export async function grantLease(
  transport: EtcdTransport,
  leaseId: string,
  ttlSeconds: number,
  limits: CallLimits,
): Promise<LeaseProof | undefined> {
  const sentAtMs = clock.now();
  try {
    const { TTL } = await transport.unary(
      'grant a lease',
      (client, options) => client.leaseClient.leaseGrant({ ID: leaseId, TTL: ttlSeconds }, options),
      { ...limits, isHedged: true, proves: 'revision-and-term', lane: 'lease' },
    );
    return { sentAtMs, grantedTtlSeconds: Number(TTL) };
  } catch (error) {
    if (error instanceof EtcdError && error.kind === 'lease-exists') return undefined;
    throw error;
  }
}

/** Revokes the lease, and so deletes all its keys. @returns whether the lease still existed. */
export async function revokeLease(
  transport: EtcdTransport,
  leaseId: string,
  limits: CallLimits,
): Promise<boolean> {
  try {
    await transport.unary(
      'revoke the lease',
      (client, options) => client.leaseClient.leaseRevoke({ ID: leaseId }, options),
      { ...limits, isHedged: true, lane: 'lease' },
    );
    return true;
  } catch (error) {
    if (!(error instanceof EtcdError && error.kind === 'lease-gone')) throw error;
    return false;
  }
}

type LeaseStream = OpenStream<ILeaseKeepAliveRequest, ILeaseKeepAliveResponse>;

interface Answered {
  readonly stream: LeaseStream;
  readonly raftTerm: bigint;
  readonly proof: LeaseProof;
}

/** Renews one lease on one stream. After the stream has failed or fallen silent, the next renewal opens another. */
export class KeepAlive {
  readonly #transport: EtcdTransport;
  readonly #leaseId: string;
  readonly #ownKey: () => OwnKey;
  #stream: LeaseStream | undefined;
  #closed = false;
  /** The answer to the renewal in flight. */
  #answer: Deferred<ILeaseKeepAliveResponse> | undefined;

  /** @param ownKey returns the key that the confirming read reads; called for every renewal. */
  constructor(transport: EtcdTransport, leaseId: string, ownKey: () => OwnKey) {
    this.#transport = transport;
    this.#leaseId = leaseId;
    this.#ownKey = ownKey;
  }

  async dial(limits: CallLimits): Promise<void> {
    this.#stream ??= await this.#open(limits);
  }

  hangUp(): void {
    if (this.#stream !== undefined) this.#drop(this.#stream, 'close');
  }

  /**
   * Renews the lease, and has the renewal confirmed by etcd's present leader. Only one renewal may be under way. Each
   * call to etcd that the renewal needs may take `withinMs`.
   *
   * @throws {EtcdError} `lease-gone` if etcd no longer knows the lease.
   */
  async renew(limits: CallLimits): Promise<LeaseProof> {
    for (let isSecond = false; ; isSecond = true) {
      const answered = await this.#renewWithToken(limits);
      try {
        const proof = await this.#confirm(answered, limits);
        if (proof !== undefined) return proof;
        if (isSecond) throw new EtcdError('unavailable', 'renew the lease: etcd has another leader', true);
      } catch (fault) {
        // The member may be stuck, so the next renewal goes to another member.
        if ((fault as EtcdError).kind === 'unavailable') this.#drop(answered.stream, 'leave');
        throw fault;
      }
    }
  }

  /** @returns the proof that counts; undefined if etcd has had another raft term since the renewal. */
  async #confirm(answered: Answered, limits: CallLimits): Promise<LeaseProof | undefined> {
    const { stream, raftTerm, proof } = answered;
    const isProxied = (): boolean | undefined => this.#transport.isProxied;
    const confirmed = (): Promise<boolean> => this.#isConfirmed(stream.host, raftTerm, limits);
    if (isProxied() === false) return (await confirmed()) ? proof : undefined;
    const asking = this.#restOf(proof, raftTerm, limits);
    const ofRest = async (): Promise<LeaseProof | undefined> => {
      const rest = await asking;
      // Confirm only after this answer, because the member that gave it may have lost the leadership since the renewal.
      return rest !== undefined && (await confirmed()) ? rest : undefined;
    };
    if (isProxied() === true) return await ofRest();
    asking.catch(() => undefined); // `ofRest` reports this failure, if its answer is needed
    // The watch may soon show that there is no proxy. Then the read by `confirmed()` is enough.
    if (!(await confirmed())) return undefined;
    return isProxied() === false ? proof : await this.#unlessDirect(ofRest(), proof);
  }

  /** Waits for the promise. If it becomes known earlier that there is no proxy, resolves with `proof` at once. */
  #unlessDirect(ofRest: Promise<LeaseProof | undefined>, proof: LeaseProof): Promise<LeaseProof | undefined> {
    return new Promise((resolve, reject) => {
      const off = this.#transport.onProxyKnown(() => {
        if (this.#transport.isProxied === false) resolve(proof);
      });
      void ofRest.then(resolve, reject).finally(off);
    });
  }

  #isConfirmed(host: Host, raftTerm: bigint, limits: CallLimits): Promise<boolean> {
    return isConfirmed(this.#transport, { raftTerm, host }, this.#ownKey(), limits);
  }

  /**
   * Asks how much of the TTL is left, and counts it from that request on. Needed unless we know that there is no proxy. A
   * proxy answers a renewal from a keep-alive of its own, which may be older than our request.
   *
   * @returns undefined if the answer came from another raft term than the renewal.
   */
  async #restOf(proof: LeaseProof, raftTerm: bigint, limits: CallLimits): Promise<LeaseProof | undefined> {
    const sentAtMs = clock.now();
    const { TTL, header } = await this.#transport.unary(
      'ask what is left of the lease',
      (client, options) => client.leaseClient.leaseTimeToLive({ ID: this.#leaseId }, options),
      { ...limits, isTimely: true, lane: 'lease', isHedged: true },
    );
    if (Number(TTL) < 0) throw leaseGone();
    if (BigInt(header.raft_term) !== raftTerm) return undefined;
    const usedMs = (proof.grantedTtlSeconds - Number(TTL)) * 1000;
    return { ...proof, sentAtMs: sentAtMs - Math.max(0, usedMs) };
  }

  /**
   * Renews the lease. If etcd refuses the token with which the stream was opened, tries again on a stream with a new
   * token.
   */
  async #renewWithToken({ withinMs, signal }: CallLimits): Promise<Answered> {
    const dueAtMs = clock.now() + withinMs;
    for (let left = NEW_TOKENS; ; left--) {
      try {
        return await this.#renewOnce({ withinMs: Math.max(0, dueAtMs - clock.now()), signal });
      } catch (error) {
        const isRefused = error instanceof EtcdError && isTokenRefused(error.message);
        if (left === 0 || !isRefused) throw error;
      }
    }
  }

  async #renewOnce({ withinMs, signal }: CallLimits): Promise<Answered> {
    const dueAtMs = clock.now() + withinMs;
    const stream = (this.#stream ??= await this.#open({ withinMs, signal }));
    const sentAtMs = clock.now();
    const asked = this.#transport.history.known;
    const answer = await this.#ask(stream, { withinMs: Math.max(0, dueAtMs - sentAtMs), signal }, withinMs);
    if (Number(answer.TTL) <= 0) throw leaseGone();
    stream.renewed();
    this.#transport.history.told(answer.header, 'nothing', asked);
    const raftTerm = BigInt(answer.header.raft_term);
    return { stream, raftTerm, proof: { sentAtMs, grantedTtlSeconds: Number(answer.TTL) } };
  }

  /** @param limitMs the limit that the error message shows, in milliseconds. */
  async #ask(stream: LeaseStream, limits: Limits, limitMs: number): Promise<ILeaseKeepAliveResponse> {
    const answer = (this.#answer = new Deferred<ILeaseKeepAliveResponse>());
    try {
      if (limits.signal?.aborted !== true) stream.raw.write({ ID: this.#leaseId });
      return await settle(answer.promise, limits, (ended): never => {
        this.#drop(stream, ended === 'aborted' ? 'close' : 'fail');
        throw ended === 'aborted'
          ? new EtcdError('aborted', 'renew the lease: aborted', true)
          : new EtcdError('unavailable', `renew the lease: no answer within ${Math.round(limitMs)} ms`, true);
      });
    } finally {
      this.#answer = undefined;
    }
  }

  close(): void {
    this.#closed = true;
    this.hangUp();
    this.#answer?.reject(new EtcdError('aborted', 'renew the lease: closed', true));
  }

  async #open(limits: CallLimits): Promise<LeaseStream> {
    const stream = await this.#transport.stream<ILeaseKeepAliveRequest, ILeaseKeepAliveResponse>(
      'renew the lease',
      (client, options) => client.leaseClient.leaseKeepAlive(options),
      limits,
    );
    if (this.#closed) {
      stream.close();
      throw new EtcdError('aborted', 'renew the lease: closed', false);
    }
    const lost = (reason: string): void => {
      if (this.#stream !== stream) return; // an earlier stream that we have given up
      this.#stream = undefined;
      this.#answer?.reject(new EtcdError('unavailable', `renew the lease: ${reason}`, true));
    };
    stream.raw.on('data', (answer) => {
      if (this.#stream === stream && answer.ID === this.#leaseId) this.#answer?.resolve(answer);
    });
    stream.onLost(lost);
    return stream;
  }

  #drop(stream: OpenStream<unknown, unknown>, how: 'close' | 'fail' | 'leave'): void {
    if (this.#stream === stream) this.#stream = undefined;
    stream[how]();
  }
}

const leaseGone = (): EtcdError =>
  new EtcdError('lease-gone', 'renew the lease: etcd no longer has it', true);
