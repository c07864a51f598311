/**
 * Reads the queue of an election for callers. Reads are linearizable and limited. Calls made before a read is sent share it.
 */
import type { CallLimiter } from '../loop-guard/call-limits.ts';
import { readQueue, type Snapshot } from '../etcd/election-keys.ts';
import { EtcdError } from '../etcd/etcd-error.ts';
import type { EtcdTransport } from '../etcd/transport.ts';
import { readError } from '../etcd/user-errors.ts';
import { CALL_LIMIT_MS } from '../client/session.ts';

export class QueueReader {
  readonly #election: string;
  readonly #keyPrefix: string;
  readonly #transport: EtcdTransport;
  readonly #guard: CallLimiter;
  #unsent: Promise<Snapshot> | undefined;

  constructor(of: { election: string; keyPrefix: string; transport: EtcdTransport }, guard: CallLimiter) {
    this.#election = of.election;
    this.#keyPrefix = of.keyPrefix;
    this.#transport = of.transport;
    this.#guard = guard;
  }

  /**
   * @throws {UnavailableError} if etcd does not answer in time, or too many reads already wait.
   * @throws {RefusedError} if etcd refuses. If the signal aborts, its reason is thrown.
   */
  read(signal: AbortSignal): Promise<Snapshot> {
    return (this.#unsent ??= this.#send(signal));
  }

  async #send(signal: AbortSignal): Promise<Snapshot> {
    const end = await this.#guard.read(signal).finally(() => {
      this.#unsent = undefined;
    });
    try {
      return await readQueue(this.#transport, this.#keyPrefix, {
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
