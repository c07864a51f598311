/**
 * Asks hosts for something harmless: which cluster they belong to, and whether they answer again. A suspect gets no write
 * before it has answered.
 */
import { clock } from '../util/clock.ts';

/** How often one host is probed, in milliseconds; only while calls are made. */
const PROBE_EVERY_MS = 5_000;

/** The same, while no majority of hosts has said which cluster is ours. */
const PROBE_SOON_MS = 1_000;

/** How long a host may take to answer, in milliseconds. */
const ANSWER_WITHIN_MS = 2_500;

/** How long a call waits for all hosts to say which cluster they belong to, in milliseconds: then those that did decide. */
const ROLL_CALL_MS = 1_000;

/** Rejects if the host does not answer. */
export type Ask<Host> = (host: Host, withinMs: number, signal?: AbortSignal) => Promise<void>;

export interface ProbeTools<Host> {
  readonly hosts: readonly Host[];
  /** Whether it is worth a probe: a suspect, or one whose cluster is not ours or not known. */
  readonly isDoubtful: (host: Host) => boolean;
  /** Whether a majority of hosts has said which cluster is ours. */
  readonly isCertain: () => boolean;
  /** Told when all hosts are being asked, and when that is over. */
  readonly onPoll: (isPolling: boolean) => void;
  /** Asks which cluster it belongs to. */
  readonly identify: Ask<Host>;
  /** Makes it answer as if it were asked for work, which clears a suspicion. */
  readonly prove: Ask<Host>;
}

export class Probes<Host> {
  readonly #tools: ProbeTools<Host>;
  readonly #probedAtMs = new Map<Host, number>();
  readonly #underWay = new Set<Host>();
  #rollCall: Promise<void> | undefined;
  #over = new AbortController();

  constructor(tools: ProbeTools<Host>) {
    this.#tools = tools;
  }

  /** Asks all hosts which cluster they belong to. Ends with the majority, or after a second; never rejects. */
  rollCall(): Promise<void> {
    return (this.#rollCall ??= this.#callTheRoll().finally(() => {
      this.#rollCall = undefined;
      this.#tools.onPoll(false);
    }));
  }

  async #callTheRoll(): Promise<void> {
    const { hosts, identify, isCertain, onPoll } = this.#tools;
    onPoll(true);
    const { signal } = this.#over;
    const isOver = new AbortController();
    let left = hosts.length;
    const one = (): void => {
      if (--left === 0 || isCertain()) isOver.abort();
    };
    signal.addEventListener('abort', () => isOver.abort(), { signal: isOver.signal });
    for (const host of hosts) identify(host, ANSWER_WITHIN_MS, signal).then(one, one);
    await clock.sleep(ROLL_CALL_MS, isOver.signal);
    isOver.abort();
  }

  /** Probes, in the background, the hosts that are worth it. */
  probe(): void {
    const { hosts, isCertain, isDoubtful } = this.#tools;
    const everyMs = isCertain() ? PROBE_EVERY_MS : PROBE_SOON_MS;
    for (const host of hosts) {
      const since = clock.now() - (this.#probedAtMs.get(host) ?? Number.NEGATIVE_INFINITY);
      if (since < everyMs || this.#underWay.has(host) || !isDoubtful(host)) continue;
      this.#probedAtMs.set(host, clock.now());
      this.#underWay.add(host);
      this.#probeOne(host).then(
        () => this.#underWay.delete(host),
        () => this.#underWay.delete(host), // with a later call again
      );
    }
  }

  async #probeOne(host: Host): Promise<void> {
    const { signal } = this.#over;
    await this.#tools.identify(host, ANSWER_WITHIN_MS, signal);
    await this.#tools.prove(host, ANSWER_WITHIN_MS, signal);
  }

  /** Ends what is under way. */
  end(): void {
    this.#over.abort();
    this.#over = new AbortController();
  }
}
