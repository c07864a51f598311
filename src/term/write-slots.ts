/**
 * Writes with `exactlyOnce`. Each write takes a slot. If its answer is lost, the slot shows the outcome.
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

/** How many writes with `exactlyOnce` of one election run at once. The others wait. Each slot is one key in etcd. */
const SLOTS = 8;

/** The pause between two tries to settle a write, in milliseconds. */
const SETTLE_AGAIN_MS = 200;

/** How many outcomes are kept for a later `term.settle()`. The oldest is dropped first. */
const MOST_REMEMBERED = 1_000;

/** How long we remember that etcd has denied our user the keys of the slots, in milliseconds. */
const REFUSAL_HOLDS_MS = 30_000;

/**
 * The outcome of a write could not be found out. It can be settled later, as long as etcd has the record of the write.
 */
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
  /** Ends the tries to find out the outcome. */
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

  /** Why our user may not use the keys of the slots; undefined if no refusal is known. */
  get refusal(): EtcdError | undefined {
    if (this.#refusal !== undefined && clock.now() - this.#refusal.atMs > REFUSAL_HOLDS_MS)
      this.#refusal = undefined;
    return this.#refusal?.fault;
  }

  /**
   * Sends a write once. If the answer is lost, finds out the outcome.
   *
   * @returns the answer to the user's part of the transaction, without responses if etcd's answer was lost. Undefined if the
   *   fence failed.
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
      const placeWithinMs = CALL_LIMIT_MS;
      const limits: CallLimits = { withinMs: CALL_LIMIT_MS, placeWithinMs, signal: sending, lane: 'caller' };
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
   * Finds out the outcome of an earlier write.
   *
   * @returns undefined if the write is not known.
   * @throws {EtcdError} if the outcome cannot be found out now either.
   */
  async settle(writeId: string): Promise<Fate | 'unknowable' | undefined> {
    const writeSlot = this.#writeSlots.find(({ slot }) => slot.pending === writeId);
    // Another call that has taken the slot settles this write first.
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

  /** Settles the last write of a slot, because only then may the slot be used again. */
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

  /** Settles the last write of a slot. Tries for as long as one call may take. */
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
      // `open` comes only from `lookIntoSlot`: etcd has answered the write, so the write cannot arrive late.
      writeSlot.slot = fate === 'open' ? notDone(slot) : slot;
      // If the lease has expired, etcd has deleted the mark of the first write. A late copy of the grant may have created the
      // lease again. So neither a missing mark nor our own mark in its place proves that the write did not happen.
      const isNever = fate === 'open' || fate === 'never';
      if (isNever && write.seenRevision === 0n && !this.#lease.isValid()) return learnt('unknowable', header);
      return learnt(fate === 'open' ? 'never' : fate, header);
    } catch (error) {
      const fault = error as EtcdError;
      // The lease is gone, and with it the mark that the write would have left.
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

  /** Tests whether etcd has denied the slot's key or a key of the user. etcd's answer to the write does not say which. */
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

  /** Takes a slot, preferably one whose last write is settled. */
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

  /** Long lines of writes are common. So the wait ends only if the line does not move. */
  async #nextFree(signal: AbortSignal): Promise<WriteSlot> {
    const writeSlot = await this.#waiting.wait(
      { withinMs: CALL_LIMIT_MS, signal },
      (late) => this.#give(late),
      () => this.#transport.answeredAtMs('caller'),
    );
    if (writeSlot !== undefined) return writeSlot;
    throw signal.aborted
      ? new EtcdError('aborted', 'waiting for a slot: aborted', false)
      : new EtcdError('unavailable', 'too many writes with exactlyOnce were under way', false);
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
