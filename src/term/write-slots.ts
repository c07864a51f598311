/**
 * Writes with `exactlyOnce`. Each takes a slot of its election; if its answer is lost, the slot settles the outcome.
 */
import { randomUUID } from 'node:crypto';
import type { IResponseHeader, ITxnResponse } from 'etcd3';
import type { Candidacy } from '../core/campaign-state.ts';
import { beginWrite, done, inspect, newSlot, notDone, type Fate, type Slot } from '../core/slot-rules.ts';
import { EtcdError, isAnswered } from '../etcd/etcd-error.ts';
import type { UserWrite } from '../etcd/fenced-txn.ts';
import type { CallLimits, EtcdTransport } from '../etcd/transport.ts';
import {
  commitInSlot,
  lookIntoSlot,
  settleInSlot,
  slotFolder,
  slotKey,
  type SlottedAnswer,
  type SlottedWrite,
} from '../etcd/slot-txn.ts';
import { CALL_LIMIT_MS, type Session } from '../client/session.ts';
import { clock } from '../util/clock.ts';
import { WaitingLine } from '../util/waiting-line.ts';

/** How many such writes of one election run at once; others wait. Each slot is one key of etcd. */
const SLOTS = 8;

/** How long to wait between two tries to settle a write, in milliseconds. */
const SETTLE_AGAIN_MS = 200;

/** How many outcomes are kept for a later `term.settle()`. Beyond that the oldest is dropped. */
const MOST_REMEMBERED = 1_000;

/** How long we remember that etcd has denied our role the keys of the slots, in milliseconds. */
const REFUSAL_HOLDS_MS = 30_000;

/** The outcome of a write could not be found out in time. It can be settled later. */
export class UnsettledError extends EtcdError {
  readonly writeId: string;

  constructor(writeId: string, message: string, cause: unknown) {
    super('unavailable', message, true, { cause });
    this.writeId = writeId;
  }
}

export interface OnceLimits {
  /** Ends the wait for a slot, and for the answer. */
  readonly sending: AbortSignal;
  /** Ends the attempts to find out the outcome of a write whose answer was lost. */
  readonly settling: AbortSignal;
}

type Limits = Pick<CallLimits, 'withinMs' | 'signal'>;

interface Settled {
  readonly fate: Fate | 'unknowable';
  readonly header: IResponseHeader;
}

interface WriteSlot {
  readonly key: string;
  slot: Slot;
  isBusy: boolean;
}

/** The slots of one election under one lease. Its successive terms share them. */
export class WriteSlots {
  readonly #transport: EtcdTransport;
  readonly #lease: Pick<Session, 'leaseId' | 'isValid'>;
  readonly #writeSlots: WriteSlot[] = [];
  readonly #waiting = new WaitingLine<WriteSlot>();
  readonly #remembered = new Map<string, Fate | 'unknowable'>();
  #refusal: { readonly fault: EtcdError; readonly atMs: number } | undefined;

  constructor(transport: EtcdTransport, lease: Pick<Session, 'leaseId' | 'isValid'>) {
    this.#transport = transport;
    this.#lease = lease;
  }

  /** Why our role may not use the keys of the slots; undefined if it may, or if that is unknown. */
  get refusal(): EtcdError | undefined {
    if (this.#refusal !== undefined && clock.now() - this.#refusal.atMs > REFUSAL_HOLDS_MS)
      this.#refusal = undefined;
    return this.#refusal?.fault;
  }

  /**
   * Sends a write once. If the answer is lost, finds out the outcome.
   *
   * @returns the answer to the user's part, without responses if the answer was lost; undefined if the fence failed.
   * @throws {EtcdError} that says whether the write happened; {@link UnsettledError} if that could not be found out.
   */
  async commit(
    candidacy: Candidacy,
    write: UserWrite,
    limits: OnceLimits,
  ): Promise<ITxnResponse | undefined> {
    const writeSlot = await this.#take(candidacy, limits.sending);
    try {
      await this.#settleBefore(writeSlot, limits.settling);
      return await this.#commitIn(writeSlot, candidacy, write, limits);
    } finally {
      this.#give(writeSlot);
    }
  }

  async #commitIn(
    writeSlot: WriteSlot,
    candidacy: Candidacy,
    write: UserWrite,
    { sending, settling }: OnceLimits,
  ): Promise<ITxnResponse | undefined> {
    writeSlot.slot = beginWrite(writeSlot.slot, randomUUID());
    let outcome: SlottedAnswer;
    try {
      const limits: CallLimits = { withinMs: CALL_LIMIT_MS, signal: sending, lane: 'caller' };
      outcome = await commitInSlot(this.#transport, candidacy, this.#writeIn(writeSlot), write, limits);
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      return await this.#afterFault(writeSlot, error, settling);
    }
    switch (outcome.type) {
      case 'committed':
        writeSlot.slot = done(BigInt(outcome.answer.header.revision));
        return outcome.answer;
      case 'fenced':
        writeSlot.slot = notDone(writeSlot.slot);
        return undefined;
      case 'moved':
        writeSlot.slot = done(outcome.sight.revision);
        throw new EtcdError(
          'unavailable',
          `${writeSlot.key}, the library's record of exactlyOnce writes, has changed meanwhile: send the write again`,
          false,
        );
    }
  }

  /**
   * Finds out the outcome of a write that could not be settled in time.
   *
   * @returns undefined if the write is not known.
   * @throws {EtcdError} if the outcome cannot be found out now either.
   */
  async settle(writeId: string): Promise<Fate | 'unknowable' | undefined> {
    const writeSlot = this.#writeSlots.find(({ slot }) => slot.pending === writeId);
    // If another call has taken the slot, it settles this write first. Wait until it has done so.
    const untilMs = clock.now() + CALL_LIMIT_MS;
    while (writeSlot?.isBusy === true && writeSlot.slot.pending === writeId) {
      if (clock.now() >= untilMs)
        throw new EtcdError('unavailable', 'another call is still trying to find it out', false);
      await clock.sleep(SETTLE_AGAIN_MS);
    }
    if (writeSlot?.slot.pending === writeId) {
      writeSlot.isBusy = true;
      try {
        await this.#settleInTime(writeSlot);
      } finally {
        this.#give(writeSlot);
      }
    }
    return this.#remembered.get(writeId);
  }

  /** Settles the last write of a slot. Only then may the slot be used again. */
  async #settleBefore(writeSlot: WriteSlot, signal: AbortSignal): Promise<void> {
    if (writeSlot.slot.pending === undefined) return;
    try {
      await this.#settleInTime(writeSlot, signal);
    } catch (error) {
      const { message } = error as EtcdError;
      throw new EtcdError(
        'unavailable',
        `not sent, because the outcome of an earlier write is not known: ${message}`,
        false,
      );
    }
  }

  async #afterFault(writeSlot: WriteSlot, fault: EtcdError, signal: AbortSignal): Promise<ITxnResponse> {
    const write = this.#writeIn(writeSlot);
    if (!fault.mayHaveHappened) {
      const isDenied = /permission denied/.test(fault.message);
      if (isDenied) await this.#tryReservedName(writeSlot, signal);
      writeSlot.slot = notDone(writeSlot.slot);
      throw (isDenied ? this.#refusal?.fault : undefined) ?? fault;
    }
    const unsettled = (why: string): UnsettledError =>
      new UnsettledError(write.writeId, `${fault.message}; ${why}`, fault);
    const { fate, header } = await this.#settleInTime(writeSlot, signal, isAnswered(fault)).catch(
      (error: unknown) => {
        throw unsettled((error as Error).message);
      },
    );
    if (fate === 'unknowable')
      throw unsettled('etcd no longer has the record of the write, for example because the lease is gone');
    if (fate === 'never') throw new EtcdError('unavailable', fault.message, false, { cause: fault });
    return {
      header: { ...header, revision: writeSlot.slot.seenRevision.toString() },
      succeeded: fate === 'then',
      responses: [],
    };
  }

  /** Tries until the outcome of the pending write is known, for as long as one call may take. */
  async #settleInTime(writeSlot: WriteSlot, signal?: AbortSignal, wasAnswered = false): Promise<Settled> {
    const untilMs = clock.now() + CALL_LIMIT_MS;
    for (;;) {
      try {
        return await this.#settleOnce(writeSlot, wasAnswered, { withinMs: untilMs - clock.now(), signal });
      } catch (error) {
        const isHopeless = !(error instanceof EtcdError) || error.kind !== 'unavailable';
        if (isHopeless || signal?.aborted === true || clock.now() + SETTLE_AGAIN_MS >= untilMs) throw error;
        await clock.sleep(SETTLE_AGAIN_MS, signal);
      }
    }
  }

  async #settleOnce(writeSlot: WriteSlot, wasAnswered: boolean, limits: Limits): Promise<Settled> {
    const write = this.#writeIn(writeSlot);
    const learnt = (fate: Settled['fate'], header: IResponseHeader): Settled => {
      this.#remember(write.writeId, fate);
      return { fate, header };
    };
    try {
      const { header, sight } = await (wasAnswered ? lookIntoSlot : settleInSlot)(
        this.#transport,
        write,
        limits,
      );
      const { slot, fate } = inspect(writeSlot.slot, sight);
      writeSlot.slot = fate === 'open' ? notDone(slot) : slot; // etcd has answered, so the write cannot arrive late
      // If the lease has expired, the mark of the first write went with it. A late copy of the request for the lease may have
      // created the lease again.
      const isNever = fate === 'open' || fate === 'never';
      if (isNever && write.seenRevision === 0n && !this.#lease.isValid()) return learnt('unknowable', header);
      return learnt(fate === 'open' ? 'never' : fate, header);
    } catch (error) {
      const fault = error as EtcdError;
      // The lease is gone. If the write happened, its mark is gone too.
      if (fault.kind === 'lease-gone') {
        writeSlot.slot = notDone(writeSlot.slot);
        return learnt('unknowable', NO_HEADER);
      }
      // The mark cannot be written, but a read shows what has happened.
      if (!isAnswered(fault)) throw fault;
      const { header, sight } = await lookIntoSlot(this.#transport, write, limits);
      const { slot, fate } = inspect(writeSlot.slot, sight);
      if (fate === 'open') throw fault;
      writeSlot.slot = slot;
      return learnt(fate, header);
    }
  }

  #remember(writeId: string, fate: Fate | 'unknowable'): void {
    this.#remembered.set(writeId, fate);
    if (this.#remembered.size <= MOST_REMEMBERED) return;
    const [oldest] = this.#remembered.keys();
    this.#remembered.delete(oldest!);
  }

  /** Tests whether the slot's key was denied: etcd does not say which key it was. */
  async #tryReservedName(writeSlot: WriteSlot, signal: AbortSignal): Promise<void> {
    this.#refusal = undefined;
    try {
      await this.#settleOnce(writeSlot, false, { withinMs: CALL_LIMIT_MS, signal });
    } catch (error) {
      const { kind, message } = error as EtcdError;
      if (kind !== 'refused') return;
      const why = `exactlyOnce may not use ${slotFolder(writeSlot.key)}: ${message}`;
      this.#refusal = { fault: new EtcdError('refused', why, false), atMs: clock.now() };
    }
  }

  #writeIn({ key, slot }: WriteSlot): SlottedWrite {
    return { key, leaseId: this.#lease.leaseId, seenRevision: slot.seenRevision, writeId: slot.pending! };
  }

  /** Takes a slot for one write, preferably one whose last write is settled. */
  async #take(candidacy: Candidacy, signal: AbortSignal): Promise<WriteSlot> {
    const free = this.#writeSlots.filter(({ isBusy }) => !isBusy);
    let writeSlot = free.find(({ slot }) => slot.pending === undefined);
    if (writeSlot === undefined && this.#writeSlots.length < SLOTS) {
      writeSlot = { key: slotKey(candidacy, this.#writeSlots.length), slot: newSlot, isBusy: false };
      this.#writeSlots.push(writeSlot);
    }
    writeSlot ??= free[0] ?? (await this.#nextFree(signal));
    writeSlot.isBusy = true;
    return writeSlot;
  }

  async #nextFree(signal: AbortSignal): Promise<WriteSlot> {
    const writeSlot = await this.#waiting.wait({ signal }, (late) => this.#give(late));
    if (writeSlot === undefined) throw new EtcdError('aborted', 'waiting for a slot: aborted', false);
    return writeSlot;
  }

  /** Frees a slot, or passes it to the next waiting write. */
  #give(writeSlot: WriteSlot): void {
    writeSlot.isBusy = this.#waiting.pass(writeSlot);
  }
}

const NO_HEADER = { cluster_id: '0', member_id: '0', revision: '0', raft_term: '0' };

const ofSession = new WeakMap<Session, Map<string, WriteSlots>>();

/** @param keyPrefix the key prefix of the election, which identifies it within the session. */
export function writeSlotsOf(session: Session, keyPrefix: string, transport: EtcdTransport): WriteSlots {
  let all = ofSession.get(session);
  if (all === undefined) ofSession.set(session, (all = new Map()));
  let slots = all.get(keyPrefix);
  if (slots === undefined) all.set(keyPrefix, (slots = new WriteSlots(transport, session)));
  return slots;
}
