/**
 * Reads the queue of an election for callers. Reads are linearizable and limited. Calls made before a read is sent share that
 * read.
 */
import { readQueue, type Snapshot } from '../etcd/election-keys.ts';
import { EtcdError } from '../etcd/etcd-error.ts';
import { readError } from '../etcd/user-errors.ts';
import { CALL_LIMIT_MS } from '../client/session.ts';
import type { CampaignTools } from './campaign-tools.ts';

type QueueReaderTools = Pick<
  CampaignTools,
  'callers' | 'election' | 'eventLog' | 'keyPrefix' | 'sharedLog' | 'transport'
>;

export class QueueReader {
  readonly #tools: QueueReaderTools;
  #unsent: Promise<Snapshot> | undefined;

  constructor(tools: QueueReaderTools) {
    this.#tools = tools;
  }

  /**
   * @throws {UnavailableError} if etcd does not answer in time, or too many reads already wait.
   * @throws {RefusedError} if etcd refuses. If the signal aborts, its reason is thrown.
   */
  read(signal: AbortSignal): Promise<Snapshot> {
    return (this.#unsent ??= this.#send(signal));
  }

  async #send(signal: AbortSignal): Promise<Snapshot> {
    const { callers, election, eventLog, keyPrefix, sharedLog, transport } = this.#tools;
    const end = await callers.read(signal).finally(() => {
      this.#unsent = undefined;
    });
    const endLog = sharedLog.begin(eventLog);
    try {
      return await readQueue(transport, keyPrefix, {
        withinMs: CALL_LIMIT_MS,
        signal,
        lane: 'caller',
      });
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      throw signal.aborted ? (signal.reason as Error) : readError(election, error);
    } finally {
      endLog();
      end();
    }
  }
}
