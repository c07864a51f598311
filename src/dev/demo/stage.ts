/** What the demo plays on: an etcd, three replicas, and the record of who acted as leader when. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ProvidedEtcd, provideEtcd } from '../provide-etcd.ts';
import { History, type Reign, nowMs } from './history.ts';
import { Replica } from './replica-process.ts';
import { span } from './screen.ts';

export const TTL_SECONDS = 3;
const NAMES = ['alice', 'bob', 'carol'];
/** Longer than the worst that the library promises: etcd has answered again for 3 s, or a lease had to run out. */
const LEADER_WITHIN_MS = 30_000;
/** A leader acts every 20 ms; one that has not acted for this long does not lead. */
const SILENT_AFTER_MS = 250;
const LOOK_EVERY_MS = 10;

export class Stage {
  readonly history: History = new History();
  readonly replicas: Replica[] = [];
  /** When etcd answered again after it was away. */
  etcdBackMs = 0;
  readonly #etcd: ProvidedEtcd;
  readonly #stop: AbortSignal;

  /**
   * @param stop ends all waiting when it aborts.
   * @param fail called when a replica ends without our doing.
   * @param log gets the replicas' log lines.
   */
  static async set(
    stop: AbortSignal,
    fail: (reason: Error) => void,
    log: (replica: string, line: string) => void,
  ): Promise<Stage> {
    const stage = new Stage(await provideEtcd(), stop);
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

  /** In words. */
  get etcd(): string {
    return this.#etcd.managed
      ? `etcd ${this.#etcd.cluster.version}, a process of the demo's own`
      : `etcd at ${this.#etcd.endpoints.join(', ')}`;
  }

  /** Whether we may kill etcd, or only cut everybody off from it. */
  get ownsEtcd(): boolean {
    return this.#etcd.managed;
  }

  replica(name: string): Replica {
    const found = this.replicas.find((replica) => replica.name === name);
    if (found === undefined) throw new Error(`no replica ${name}`);
    return found;
  }

  /** Who leads at the moment, as far as acts tell. */
  get leader(): Reign | undefined {
    const { latest } = this.history;
    return latest !== undefined && nowMs() - latest.lastMs < SILENT_AFTER_MS ? latest : undefined;
  }

  /** @throws {Error} if nobody leads in time. */
  async untilLed(): Promise<Reign> {
    return await this.#until(() => this.leader);
  }

  /** Waits for whoever leads after this reign. @throws {Error} if nobody does in time. */
  async untilLedAfter(reign: Reign): Promise<Reign> {
    return await this.#until(() => {
      const { latest } = this.history;
      return latest !== undefined && latest.firstMs > reign.firstMs ? latest : undefined;
    });
  }

  /** The reign as it is known now. */
  latestOf({ replica, fencingToken }: Reign): Reign {
    const isIt = (reign: Reign): boolean => reign.replica === replica && reign.fencingToken === fencingToken;
    const found = this.history.reigns.find(isIt);
    if (found === undefined) throw new Error(`no reign ${fencingToken} of ${replica}`);
    return found;
  }

  /** @throws {unknown} the reason of the stop. */
  async pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#stop }).catch(() => {});
    this.#stop.throwIfAborted();
  }

  /** etcd goes away for everybody. */
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

  /** Ends everything that was started; nothing is left. */
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
