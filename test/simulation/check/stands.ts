/**
 * Who could lead, and when, by what the applications did: a process stands from its call of `campaign()` until it calls `resign()`
 * or is killed, and not while its work of an ended term continues for longer than the library waits for it.
 */
import type { FaultRecord, Stretch } from '../../faults/lab/evidence.ts';
import type { Fact } from '../inside/host.ts';
import type { Told } from '../world/record.ts';

type Step = Fact | { readonly type: 'killed' };

/** How one process stands. */
class Stand {
  readonly stretches: { readonly fromMs: number; toMs: number }[] = [];
  readonly #isSlow: boolean;
  #isCampaigning = false;
  /** The ended term whose work continues. */
  #working: string | undefined;
  readonly #stopped = new Set<string>();

  /** @param isSlow whether its work continues for longer than the end of a term waits for it. */
  constructor(isSlow: boolean) {
    this.#isSlow = isSlow;
  }

  step(step: Step, atMs: number): void {
    const could = this.#canLead;
    this.#take(step);
    if (this.#canLead === could) return;
    const last = this.stretches.at(-1);
    if (could && last !== undefined) last.toMs = atMs;
    else this.stretches.push({ fromMs: atMs, toMs: Number.POSITIVE_INFINITY });
  }

  get #canLead(): boolean {
    return this.#isCampaigning && this.#working === undefined;
  }

  #take(step: Step): void {
    const { type } = step;
    if (type === 'stands') this.#isCampaigning = true;
    else if (type === 'resigns' || type === 'killed') this.#isCampaigning = false;
    if (type === 'killed') this.#working = undefined;
    else if (type === 'ended' && this.#isSlow && !this.#stopped.has(step.token)) this.#working = step.token;
    else if (type === 'still-working' || type === 'stopped-late') {
      this.#stopped.add(step.token);
      if (this.#working === step.token) this.#working = undefined;
    }
  }
}

/** What a world has recorded of its processes. */
export interface Recorded {
  readonly processes: readonly { readonly name: string }[];
  readonly record: { readonly told: readonly Told[] };
  readonly kills: readonly { readonly process: string; readonly atMs: number }[];
  readonly slowToStop: ReadonlySet<string>;
}

/** The stretches of time in which each process could lead, in order. */
export function stands({
  processes,
  record,
  kills,
  slowToStop,
}: Recorded): ReadonlyMap<string, readonly Stretch[]> {
  const all = new Map(processes.map(({ name }) => [name, new Stand(slowToStop.has(name))]));
  const steps: { readonly process: string; readonly atMs: number; readonly step: Step }[] = [
    ...record.told.map(({ process, atMs, fact }) => ({ process, atMs, step: fact })),
    ...kills.map(({ process, atMs }) => ({ process, atMs, step: { type: 'killed' } as const })),
  ];
  for (const { process, atMs, step } of steps.sort((a, b) => a.atMs - b.atMs))
    all.get(process)!.step(step, atMs);
  return new Map([...all].map(([name, { stretches }]) => [name, stretches]));
}

/**
 * How long the guard may hold a process after its own loop, in milliseconds. The last hold takes up to `capMs`. Then the process
 * must wait or lead for `healthyAfterMs` to reset the guard. Both have their defaults, as in docs/guard.md.
 */
const HELD_MS = 30_000 + 30_000;

/** The stretches of time in which no process could lead: it did not stand, a fault hit it, or its guard held it. */
export function nobodyStands(
  stand: ReadonlyMap<string, readonly Stretch[]>,
  faults: readonly FaultRecord[],
): readonly Stretch[] {
  const all = [...stand].flatMap(([name, stretches]) => {
    const holes = faults
      .filter(({ hits }) => hits === name)
      .map(({ kind, fromMs, toMs }) => ({
        fromMs,
        toMs: kind.startsWith('run-away') ? toMs + HELD_MS : toMs,
      }));
    return holes.reduce<readonly Stretch[]>(
      (rest, hole) => rest.flatMap((one) => without(one, hole)),
      stretches,
    );
  });
  const inOrder = all.sort((a, b) => a.fromMs - b.fromMs);
  const found: Stretch[] = [];
  let untilMs = 0;
  for (const { fromMs, toMs } of inOrder) {
    if (fromMs > untilMs) found.push({ fromMs: untilMs, toMs: fromMs });
    untilMs = Math.max(untilMs, toMs);
  }
  if (Number.isFinite(untilMs)) found.push({ fromMs: untilMs, toMs: Number.POSITIVE_INFINITY });
  return found;
}

const without = ({ fromMs, toMs }: Stretch, hole: Stretch): readonly Stretch[] =>
  [
    { fromMs, toMs: Math.min(toMs, hole.fromMs) },
    { fromMs: Math.max(fromMs, hole.toMs), toMs },
  ].filter((part) => part.fromMs < part.toMs);
