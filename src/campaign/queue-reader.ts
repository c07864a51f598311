/**
 * Reads the queue of an election, for callers who ask: linearizable, bounded, and shared where that is honest.
 */
import type { CallLimiter } from '../loop-guard/call-limits.ts';
import { readQueue, type Snapshot } from '../etcd/election-keys.ts';
import { EtcdError } from '../etcd/etcd-error.ts';
import type { EtcdTransport } from '../etcd/transport.ts';
import { readError } from '../etcd/user-errors.ts';
import { CALL_LIMIT_MS } from '../client/session.ts';

export class QueueReader {
  readonly #election: string;
  readonly #electionKeys: string;
  readonly #transport: EtcdTransport;
  readonly #guard: CallLimiter;
  #unsent: Promise<Snapshot> | undefined;

  constructor(of: { election: string; electionKeys: string; transport: EtcdTransport }, guard: CallLimiter) {
    this.#election = of.election;
    this.#electionKeys = of.electionKeys;
    this.#transport = of.transport;
    this.#guard = guard;
  }

  /** @throws {UnavailableError} {@link RefusedError}; or the signal's reason when it aborts. */
  read(signal: AbortSignal): Promise<Snapshot> {
    return (this.#unsent ??= this.#send(signal));
  }

  async #send(signal: AbortSignal): Promise<Snapshot> {
    // From when it is sent on, who asks must see what happens from then on.
    const end = await this.#guard.read(signal).finally(() => {
      this.#unsent = undefined;
    });
    try {
      return await readQueue(this.#transport, this.#electionKeys, {
        withinMs: CALL_LIMIT_MS,
        signal,
        lane: 'caller',
      });
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      throw signal.aborted ? (signal.reason as Error) : readError(this.#election, error);
    } finally {
      end();
    }
  }
}
