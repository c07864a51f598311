/** The parts of the demo: an etcd, three replicas, and the history of their acts as leader. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ProvidedEtcd, provideEtcd } from '../provide-etcd.ts';
import { History, type Reign, nowMs } from './history.ts';
import { Replica } from './replica-process.ts';
import { span } from './screen.ts';

export const TTL_SECONDS = 3;
const NAMES = ['alice', 'bob', 'carol'];
/** How long the demo waits for a leader. The library promises a shorter time: TTL + 0.75 s after a crash, 3 s after an outage of etcd. */
const LEADER_WITHIN_MS = 30_000;
/** A leader acts every 20 ms, so a replica that has not acted for this long does not lead. */
const SILENT_AFTER_MS = 250;
const LOOK_EVERY_MS = 10;

export class Stage {
  readonly history: History = new History();
  readonly replicas: Replica[] = [];
  /** When etcd answered again after the outage. */
  etcdBackMs = 0;
  readonly #etcd: ProvidedEtcd;
  readonly #stop: AbortSignal;

  /**
   * @param stop aborts every wait of the demo.
   * @param fail is called if a replica ends by itself.
   * @param log gets the log lines of the replicas.
   */
  static async create(
    stop: AbortSignal,
    fail: (reason: Error) => void,
    log: (replica: string, line: string) => void,
  ): Promise<Stage> {
    const stage = new Stage(await provideEtcd({ signal: stop }), stop);
    try {
      stop.throwIfAborted();
      const prefix = `etcd-election-demo/${randomBytes(4).toString('hex')}/`;
      for (const name of NAMES) {
        const options = { name, endpoints: stage.#etcd.endpoints, prefix, ttlSeconds: TTL_SECONDS };
        const listener = {
          acted: stage.history.record.bind(stage.history),
          logged: log,
          died: (replica: string, how: string) => fail(new Error(`${replica} ended by itself: ${how}`)),
        };
        stage.replicas.push(await Replica.create(options, listener));
      }
      return stage;
    } catch (error) {
      await stage.clear();
      throw error;
    }
  }

  private constructor(etcd: ProvidedEtcd, stop: AbortSignal) {
    this.#etcd = etcd;
    this.#stop = stop;
  }

  get etcd(): string {
    return this.#etcd.managed
      ? `etcd ${this.#etcd.cluster.version}, started by the demo`
      : `etcd at ${this.#etcd.endpoints.join(', ')}`;
  }

  /** Whether etcd is a process that the demo started, and so may kill. Otherwise the demo only blocks the connections to etcd. */
  get ownsEtcd(): boolean {
    return this.#etcd.managed;
  }

  replica(name: string): Replica {
    const found = this.replicas.find((replica) => replica.name === name);
    if (found === undefined) throw new Error(`no replica ${name}`);
    return found;
  }

  get leader(): Reign | undefined {
    const { latest } = this.history;
    return latest !== undefined && nowMs() - latest.lastMs < SILENT_AFTER_MS ? latest : undefined;
  }

  /** @throws {Error} if nobody leads in time. */
  async untilLed(): Promise<Reign> {
    return await this.#until(() => this.leader);
  }

  /** Waits for the reign after this one. @throws {Error} if nobody leads in time. */
  async untilLedAfter(reign: Reign): Promise<Reign> {
    return await this.#until(() => {
      const { latest } = this.history;
      return latest !== undefined && latest.firstMs > reign.firstMs ? latest : undefined;
    });
  }

  /** Returns this reign with all acts that are recorded by now. */
  latestOf({ replica, fencingToken }: Reign): Reign {
    const isIt = (reign: Reign): boolean => reign.replica === replica && reign.fencingToken === fencingToken;
    const found = this.history.reigns.find(isIt);
    if (found === undefined) throw new Error(`no reign ${fencingToken} of ${replica}`);
    return found;
  }

  /** @throws {unknown} the reason of `stop`, if it aborts. */
  async pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#stop }).catch(() => {});
    this.#stop.throwIfAborted();
  }

  async loseEtcd(): Promise<void> {
    if (!this.#etcd.managed) for (const replica of this.replicas) replica.cutOff();
    else await Promise.all(this.#etcd.cluster.members.map((member) => member.kill()));
  }

  async bringEtcdBack(): Promise<void> {
    if (!this.#etcd.managed) for (const replica of this.replicas) replica.reconnect();
    else await Promise.all(this.#etcd.cluster.members.map((member) => member.start()));
    this.etcdBackMs = nowMs();
  }

  /** Lets the replicas end by themselves. */
  async finish(): Promise<void> {
    await Promise.all(this.replicas.map((replica) => replica.leave()));
  }

  async clear(): Promise<void> {
    await Promise.all(this.replicas.map((replica) => replica.end()));
    await this.#etcd.stop();
  }

  async #until<T>(look: () => T | undefined): Promise<T> {
    for (const endMs = nowMs() + LEADER_WITHIN_MS; nowMs() < endMs;) {
      const found = look();
      if (found !== undefined) return found;
      await this.pause(LOOK_EVERY_MS);
    }
    throw new Error(`nobody leads after ${span(LEADER_WITHIN_MS)}`);
  }
}
