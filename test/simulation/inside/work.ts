/**
 * What a leader does in one term: it appends to a log in etcd through its term, and to a resource outside etcd
 * with its token. After the end of the term it continues for a while, like work that stops slowly.
 */
import type { Etcd3 } from 'etcd3';
import type { Term } from 'etcd-election';
import type { Plan } from './host.ts';

const { record, block, post } = globalThis.simulation;

export interface WorkTools {
  readonly client: Etcd3;
  readonly plan: Plan;
  readonly nextCounter: () => number;
}

/** How often a blocked thread stamps, in milliseconds. */
const STAMP_EVERY_MS = 20;
/** How often work stamps for each append, beside its own loop. */
const STAMPS_EACH = 4;
const SETTLE_TRIES = 10;
const SETTLE_EACH_MS = 500;

const pad = (value: string | number): string => String(value).padStart(20, '0');

const sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal?.aborted === true) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done, { once: true });
  });

export class Work {
  readonly #term: Term;
  readonly #token: string;
  readonly #tools: WorkTools;
  #failure: Error | undefined;
  /** The number of appends to etcd so far. */
  #appends = 0;

  constructor(term: Term, tools: WorkTools) {
    this.#term = term;
    this.#token = term.fencingToken.toString();
    this.#tools = tools;
  }

  async run(): Promise<void> {
    const { signal } = this.#term;
    const { plan } = this.#tools;
    const { appendEveryMs, stopsAfterMs } = plan;
    record({ type: 'elected', token: this.#token, key: this.#term.key, leaseId: this.#term.leaseId });
    signal.addEventListener('abort', () => {
      const { reason: because } = signal.reason as { reason: string };
      record({ type: 'ended', token: this.#token, because });
    });
    const stamping = setInterval(() => this.stamp(), appendEveryMs / STAMPS_EACH);
    try {
      while (!signal.aborted) {
        this.stamp();
        if (this.#failure !== undefined) {
          record({ type: 'still-working', token: this.#token });
          throw this.#failure;
        }
        if (this.#term.isCurrent()) void this.#post();
        if (this.#term.isCurrent()) await this.#append();
        await sleep(appendEveryMs * (0.5 + Math.random()), signal);
      }
    } finally {
      clearInterval(stamping);
    }
    if (stopsAfterMs > 0) await sleep(stopsAfterMs);
    record({ type: stopsAfterMs > plan.drainMs ? 'stopped-late' : 'still-working', token: this.#token });
  }

  /** Acts if the term allows it at this moment. */
  stamp(): void {
    if (this.#term.isCurrent()) record({ type: 'acting', token: this.#token });
  }

  /** The work throws at its next check. */
  fail(): void {
    this.#failure = new Error('the work has failed');
  }

  /** A loop that blocks the event loop and still acts. It checks the term before each act, as it should. */
  static block(work: Work | undefined, ms: number): void {
    for (let leftMs = ms; leftMs > 0; leftMs -= STAMP_EVERY_MS) {
      work?.stamp();
      block(Math.min(leftMs, STAMP_EVERY_MS));
    }
    work?.stamp();
  }

  #post(): Promise<void> {
    const counter = this.#tools.nextCounter();
    const append = { to: 'http', token: this.#token, counter } as const;
    record({ type: 'append', ...append });
    return new Promise((resolve) => {
      post(this.#token, counter, (outcome) => {
        record({ type: 'appended', ...append, outcome });
        resolve();
      });
    });
  }

  async #append(): Promise<void> {
    const { client, plan, nextCounter } = this.#tools;
    const counter = nextCounter();
    const number = this.#appends++;
    const append = { to: 'etcd', token: this.#token, counter } as const;
    const mine = `${pad(this.#token)}/${plan.name}/${pad(counter)}`;
    const entry = `${plan.logPrefix}log/${mine}`;
    record({ type: 'append', ...append });
    try {
      const write = this.#term
        .txn({ exactlyOnce: plan.onceEach > 0 && number % plan.onceEach === 0 })
        .then(
          client.put(entry).value('1'),
          client.put(`${plan.logPrefix}last`).value(`${this.#token}/${plan.name}/${counter}`),
        )
        // Neither branch may run after the term.
        .else(client.put(`${plan.logPrefix}else/${mine}`).value('1'));
      // Uses both shapes of a fenced transaction. This comparison always holds.
      if (number % 4 < 2) write.and(entry, 'Create', '==', 0);
      const { succeeded } = await write.commit();
      record({ type: 'appended', ...append, outcome: succeeded ? 'acknowledged' : 'refused' });
    } catch (error) {
      const { code = (error as Error).name, writeId } = error as { code?: string; writeId?: string };
      record({ type: 'error', code, text: String(error) });
      const isRefused = code === 'ELECTION_LEADERSHIP_LOST' || code === 'ELECTION_UNAVAILABLE';
      record({ type: 'appended', ...append, outcome: isRefused ? 'refused' : 'unknown' });
      if (writeId !== undefined) void this.#settleLater(writeId, append);
    }
  }

  /** The work continues meanwhile. */
  async #settleLater(
    writeId: string,
    append: { readonly to: 'etcd'; readonly token: string; readonly counter: number },
  ): Promise<void> {
    for (let tries = 0; tries < SETTLE_TRIES; tries++) {
      await sleep(SETTLE_EACH_MS);
      try {
        const { happened } = await this.#term.settle(writeId);
        return record({ type: 'appended', ...append, outcome: happened ? 'settled' : 'refused' });
      } catch (error) {
        if ((error as { code?: string }).code !== 'ELECTION_UNAVAILABLE') return;
      }
    }
  }
}
