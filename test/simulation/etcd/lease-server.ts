/**
 * What a member does with leases outside raft. Renewals and queries go to the leader, directly or over etcd's
 * own HTTP between members (leasehttp). The leader looks for expired leases.
 */
import type { Defects } from './defects.ts';
import { dialectOf } from './dialect.ts';
import type { Lessor, Renewal } from './lessor.ts';
import type { Node } from './node.ts';
import type { Process, Random } from './process.ts';
import { NONE, type MemberId } from './raft-message.ts';
import { REFUSALS } from './refusals.ts';
import type { StreamEnd } from './watch-hub.ts';
import { idOf, fromKey, type EtcdRefusal, type Header, type Raw } from './wire.ts';

/** lessor.runLoop. */
const SCAN_EVERY_MS = 500;
/** LeaseRenew's pause between tries. */
const RETRY_MS = 50;
/** applyTimeout. */
const APPLY_WITHIN_MS = 1_000;
/** The longest time from the scan to raft for an expired lease. */
const REVOKE_AFTER_MS = 2;

export type LeaseCall = { readonly renew: string } | { readonly look: string };
export type LeaseAnswer = Renewal | { readonly seen: NonNullable<ReturnType<Lessor['look']>> } | 'failed';

/** Asks another member; never calls back if the request or the answer is lost. */
export type Forward = (to: MemberId, call: LeaseCall, done: (answer: LeaseAnswer) => void) => void;

export interface LeaseServerOptions {
  readonly id: MemberId;
  readonly process: Process;
  readonly random: Random;
  readonly defects: Defects;
  readonly version: string;
  readonly electionMs: number;
  readonly node: Node;
  readonly lessor: Lessor;
  readonly forward: Forward;
}

export class LeaseServer {
  readonly #options: LeaseServerOptions;
  #isScanning = false;
  /** The scan's loop runs from the start of the process, with or without leadership. */
  #phaseMs = 0;
  #streams = 0;

  constructor(options: LeaseServerOptions) {
    this.#options = options;
  }

  started(): void {
    this.#isScanning = false;
    this.#phaseMs = this.#options.process.now() + this.#options.random() * SCAN_EVERY_MS;
  }

  startScanning(): void {
    const { process, lessor } = this.#options;
    if (this.#isScanning) return;
    this.#isScanning = true;
    const sinceMs = Math.max(0, process.now() - this.#phaseMs);
    process.after(SCAN_EVERY_MS - (sinceMs % SCAN_EVERY_MS), 'lessor', () => {
      this.#isScanning = false;
      if (!lessor.isPrimary) return;
      this.#revoke(lessor.expired());
      this.startScanning();
    });
  }

  /** revokeExpiredLeases. */
  #revoke(ids: readonly string[]): void {
    if (ids.length === 0) return;
    const { process, random, node, defects } = this.#options;
    const revoke = (): void => {
      for (const id of ids) node.propose({ op: 'revoke', id }, () => undefined);
    };
    process.after(random() * REVOKE_AFTER_MS, 'revoke', () => {
      if (defects.lateRevokes) revoke();
      else node.ensureLeadership((isLeader) => isLeader && revoke());
    });
  }

  /** A stream answers one request after another. */
  keepAlive(to: StreamEnd, header: () => Header): { receive(message: Raw): void; close(): void } {
    const { process } = this.#options;
    const lane = `keep-alive ${++this.#streams}`;
    const waiting: string[] = [];
    let isBusy = false;
    let isOver = false;
    const next = (): void => {
      const ID = waiting[0];
      if (isBusy || isOver || ID === undefined) return;
      isBusy = true;
      waiting.shift();
      const head = header(); // before the renewal: its revision must not be later than the renewal
      this.#renew(ID, (ttlSeconds, refusal) =>
        process.after(0, lane, () => {
          isBusy = false;
          if (isOver) return;
          if (refusal === undefined) to.data({ header: head, ID, TTL: String(ttlSeconds) });
          else {
            isOver = true;
            to.end(refusal);
          }
          next();
        }),
      );
    };
    return {
      receive: (message) => {
        waiting.push(idOf(message['ID']));
        next();
      },
      close: () => {
        isOver = true;
      },
    };
  }

  /** LeaseRenew. */
  #renew(id: string, done: (ttlSeconds: number, refusal?: EtcdRefusal) => void): void {
    this.#ask(
      { renew: id },
      {
        answer: (answer) => {
          if (answer === 'not-found') done(0);
          else if (typeof answer === 'object' && 'ttlSeconds' in answer) done(answer.ttlSeconds);
        },
        refuse: (refusal) => done(-1, refusal),
      },
    );
  }

  /** LeaseTimeToLive. */
  timeToLive(
    request: Raw,
    reply: (error: EtcdRefusal | null, response?: object) => void,
    header: (revision?: number) => Header,
  ): void {
    const ID = idOf(request['ID']);
    this.#ask(
      { look: ID },
      {
        answer: (answer) => {
          const seen = typeof answer === 'object' && 'seen' in answer ? answer.seen : undefined;
          reply(null, {
            header: header(),
            ID,
            TTL: String(seen?.leftSeconds ?? -1),
            grantedTTL: String(seen?.ttlSeconds ?? 0),
            keys: request['keys'] === true && seen !== undefined ? seen.keys.map(fromKey) : [],
          });
        },
        refuse: reply,
      },
    );
  }

  #ask(
    call: LeaseCall,
    done: { answer(answer: LeaseAnswer): void; refuse(refusal: EtcdRefusal): void },
  ): void {
    const { node, defects } = this.#options;
    const forward = (): void => this.#forward(call, done);
    if (!node.isLeader) return forward();
    const here = (): void =>
      this.#whenRenewable(call, (isApplied) => {
        if (!isApplied) return done.refuse(REFUSALS.timeoutApplying);
        this.#answerHere(call, (answer) => {
          if (answer === 'failed') done.refuse(REFUSALS.leaderChanged);
          else if (answer === 'not-primary') forward();
          else done.answer(answer);
        });
      });
    if ('look' in call || defects.deposedLeaderRenews) return here();
    node.ensureLeadership((isLeader) => {
      if (isLeader) here();
      else done.refuse(REFUSALS.notPrimary);
    });
  }

  /** The handler of leasehttp. */
  handle(call: LeaseCall, done: (answer: LeaseAnswer) => void): void {
    this.#waitApplied((isApplied) => {
      if (!isApplied) done('failed');
      else this.#answerHere(call, done);
    });
  }

  #answerHere(call: LeaseCall, done: (answer: LeaseAnswer) => void): void {
    const { lessor } = this.#options;
    if ('renew' in call) return lessor.renew(call.renew, done);
    const seen = lessor.look(call.look);
    if (seen === undefined) done('not-found');
    else done(lessor.isPrimary ? { seen } : 'failed'); // Demoted
  }

  /** FastLeaseKeepAlive. */
  #whenRenewable(call: LeaseCall, done: (isApplied: boolean) => void): void {
    const { version, lessor } = this.#options;
    if ('renew' in call && dialectOf(version).renewsAtOnce && lessor.has(call.renew)) done(true);
    else this.#waitApplied(done);
  }

  #waitApplied(done: (isApplied: boolean) => void): void {
    const { node, process } = this.#options;
    let isOver = false;
    const end = (isApplied: boolean): void => {
      if (isOver) return;
      isOver = true;
      cancel();
      done(isApplied);
    };
    const cancel = process.after(APPLY_WITHIN_MS, 'lease', () => end(false));
    node.whenApplied(node.committedIndex, () => end(true));
  }

  #forward(
    call: LeaseCall,
    done: { answer(answer: LeaseAnswer): void; refuse(refusal: EtcdRefusal): void },
  ): void {
    const { process, node, forward, id, electionMs } = this.#options;
    let isOver = false;
    const cancel = process.after(node.requestTimeoutMs, 'lease', () => {
      isOver = true;
      done.refuse(node.lead === NONE ? REFUSALS.noLeader : REFUSALS.timeout);
    });
    const take = (answer: LeaseAnswer): void => {
      if (isOver) return;
      if (answer === 'failed' || answer === 'not-primary') {
        process.after(RETRY_MS, 'lease', attempt);
        return;
      }
      isOver = true;
      cancel();
      done.answer(answer);
    };
    const attempt = (): void => {
      if (isOver) return;
      if (node.lead === NONE)
        process.after(electionMs, 'lease', attempt); // waitLeader
      else if (node.lead === id) this.handle(call, take);
      else forward(node.lead, call, take);
    };
    attempt();
  }
}
