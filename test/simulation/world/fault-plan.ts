/** Runs the faults of a world: which process each one hits, and that no two are at one place at once. */
import type { FaultRecord } from '../../faults/lab/evidence.ts';
import { choose, type Fault, type Marks } from '../faults/fault.ts';
import { kinds } from '../faults/kinds.ts';
import type { SimulatedProcess } from '../process/process.ts';
import { tell } from './story.ts';
import type { World } from './world.ts';

/** How often a fault hits the leading process. */
const LEADERS_SHARE = 0.55;

export class FaultPlan {
  readonly #world: World;
  readonly #underWay = new Set<string>();

  constructor(world: World) {
    this.#world = world;
  }

  get isUnderWay(): boolean {
    return this.#underWay.size > 0;
  }

  begin(fault: Fault): void {
    const { time, faults } = this.#world;
    const kind = kinds[fault.kind]!;
    const victim = this.#victimOf(fault);
    if (victim === undefined) return;
    const isShared = kind.place === 'etcd' || kind.place === 'processes';
    const place = isShared ? kind.place : `${kind.place} ${victim.name}`;
    if (this.#isTaken(place) || (kind.place === 'process' && !victim.isRunning)) return;
    this.#underWay.add(place);
    const noted: { record?: FaultRecord & { toMs: number } } = {};
    const note = (what: string, marks: Marks = {}): void => {
      const fromMs = time.now();
      const record = { kind: this.#kindOf(fault), what, fromMs, toMs: Number.POSITIVE_INFINITY };
      const hits = isShared ? undefined : victim.name;
      faults.push((noted.record = { touchesEtcd: false, isOutage: false, hits, ...marks, ...record }));
    };
    tell(time, kind.run({ world: this.#world, fault, victim, note }), () => {
      this.#underWay.delete(place);
      if (noted.record !== undefined) noted.record.toMs = time.now();
    });
  }

  #isTaken(place: string): boolean {
    if (place === 'processes') return [...this.#underWay].some((taken) => taken.startsWith('process'));
    return this.#underWay.has(place) || (place.startsWith('process') && this.#underWay.has('processes'));
  }

  /**
   * The checker of the fault lab excuses a second leader during a fault of etcd's own leader, because some
   * releases of etcd then revoke leases too early. Here a switch controls that defect.
   */
  #kindOf({ kind }: Fault): string {
    return this.#world.options.defects?.lateRevokes === true ? kind : `${kind} of a sound etcd`;
  }

  #victimOf({ draws: [draw] }: Fault): SimulatedProcess | undefined {
    const { leader, processes } = this.#world;
    if (draw < LEADERS_SHARE && leader !== undefined) return leader;
    const alive = processes.filter(({ isAlive }) => isAlive);
    return alive.length === 0 ? undefined : choose(alive, (draw - LEADERS_SHARE) / (1 - LEADERS_SHARE));
  }
}
