/**
 * Reports the events of parts that several elections share, such as the watch stream of a client. Each event is reported once, by
 * the event log of one active election, because the other elections may have been closed, and their loggers with them.
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

  /** An election becomes active. @returns a function to call when it no longer is. */
  begin(eventLog: EventLog): () => void {
    const election = { eventLog };
    this.#active.add(election);
    return () => {
      this.#active.delete(election);
      this.last = eventLog;
    };
  }

  report(event: ElectionEvent): void {
    const [first] = this.#active;
    (first?.eventLog ?? this.last)?.report(event);
  }
}
