/** When a member campaigns, and when a leader sends heartbeats. etcd counts both in ticks. */
export interface TimerOptions {
  readonly electionMs: number;
  readonly heartbeatMs: number;
  /** Time as this member's ticks count it: not while it is stopped. */
  readonly now: () => number;
  readonly random: () => number;
}

export class ElectionTimer {
  readonly #options: TimerOptions;
  #startedAtMs: number;
  #timeoutMs = 0;
  heartbeatDueAtMs = 0;

  constructor(options: TimerOptions) {
    this.#options = options;
    this.#startedAtMs = options.now();
  }

  get electionDueAtMs(): number {
    return this.#startedAtMs + this.#timeoutMs;
  }

  /** Whether the shortest election timeout is over. */
  get isOverdue(): boolean {
    return this.#options.now() - this.#startedAtMs >= this.#options.electionMs;
  }

  restart(): void {
    this.#startedAtMs = this.#options.now();
  }

  /** Draws the next timeout, so that members do not campaign at once. */
  draw(): void {
    const { electionMs, heartbeatMs, random } = this.#options;
    this.restart();
    this.#timeoutMs = electionMs + Math.floor(random() * (electionMs / heartbeatMs)) * heartbeatMs;
  }

  shift(ms: number): void {
    this.#startedAtMs += ms;
  }

  delayHeartbeat(): void {
    this.heartbeatDueAtMs = this.#options.now() + this.#options.heartbeatMs;
  }
}
