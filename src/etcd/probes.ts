/**
 * Probes hosts with harmless calls, to learn their cluster and whether they answer again. Other calls avoid suspects,
 * so without probes a suspect would stay a suspect.
 */
import { sharedAbort } from '../util/abort.ts';
import { clock } from '../util/clock.ts';

/** How often one host is probed, in milliseconds. Probes run only while calls are made. */
const PROBE_EVERY_MS = 5_000;

/** How often one host is probed until a majority of the hosts has named one cluster, in milliseconds. */
const PROBE_SOON_MS = 1_000;

/** How long a host may take to answer, in milliseconds. */
const ANSWER_WITHIN_MS = 2_500;

/** How long a call waits for all hosts to report their cluster, in milliseconds. Then the hosts that answered decide. */
const ROLL_CALL_MS = 1_000;

/** Sends one call to a host. Rejects if the host does not answer. */
export type AskHost<Host> = (host: Host, withinMs: number, signal?: AbortSignal) => Promise<void>;

export interface HostProbeTools<Host> {
  readonly hosts: readonly Host[];
  /** Whether the host is a suspect, or its cluster is unknown or not ours. */
  readonly isDoubtful: (host: Host) => boolean;
  /** Whether a majority of the hosts has named our cluster. */
  readonly isCertain: () => boolean;
  readonly onRollCall: (isRollCall: boolean) => void;
  /** Asks the host for its cluster. */
  readonly identify: AskHost<Host>;
  /** Sends a linearizable read. Its answer clears a suspicion. */
  readonly prove: AskHost<Host>;
}

export class Probes<Host> {
  readonly #tools: HostProbeTools<Host>;
  readonly #probedAtMs = new Map<Host, number>();
  readonly #underWay = new Set<Host>();
  #rollCall: Promise<void> | undefined;
  #over = sharedAbort();

  constructor(tools: HostProbeTools<Host>) {
    this.#tools = tools;
  }

  /**
   * Asks all hosts for their cluster. Resolves when a majority has named one cluster, when all hosts have answered or
   * failed, or after a second. Never rejects.
   */
  rollCall(): Promise<void> {
    return (this.#rollCall ??= this.#callTheRoll().finally(() => {
      this.#rollCall = undefined;
      this.#tools.onRollCall(false);
    }));
  }

  async #callTheRoll(): Promise<void> {
    const { hosts, identify, isCertain, onRollCall } = this.#tools;
    onRollCall(true);
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

  /** Probes the doubtful hosts in the background. */
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
        () => this.#underWay.delete(host), // a later call probes again
      );
    }
  }

  async #probeOne(host: Host): Promise<void> {
    const { signal } = this.#over;
    await this.#tools.identify(host, ANSWER_WITHIN_MS, signal);
    await this.#tools.prove(host, ANSWER_WITHIN_MS, signal);
  }

  end(): void {
    this.#over.abort();
    this.#over = sharedAbort();
  }
}
