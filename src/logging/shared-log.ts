/**
 * Reports the events of the parts that several elections share, such as the watch stream of a client. One active
 * election reports each event, because the logger of a closed election may be closed.
 */
import type { ElectionEvent } from '../events.ts';
import type { EventLog } from './event-log.ts';

interface ActiveElection {
  readonly eventLog: EventLog;
}

export class SharedLog {
  readonly #active = new Set<ActiveElection>();
  /** Reports the events while no election is active. */
  last: EventLog | undefined;

  /**
   * An election becomes active.
   *
   * @returns a function to call when the election is no longer active.
   */
  begin(eventLog: EventLog): () => void {
    const election = { eventLog };
    this.#active.add(election);
    return () => {
      if (this.#active.delete(election)) this.last = eventLog;
    };
  }

  report(event: ElectionEvent): void {
    const [first] = this.#active;
    (first?.eventLog ?? this.last)?.report(event);
  }
}
