/** What the appends of all leaders have left in etcd and in the resource outside it. */
import type { LogEntry, Standing } from './evidence.ts';
import type { Operator } from './gateway.ts';
import type { Resource } from './resource.ts';

export class AppendLog {
  readonly #operator: Operator;
  readonly #prefix: string;
  readonly #resource: Resource;

  /** @param prefix of the keys in etcd. */
  constructor(operator: Operator, prefix: string, resource: Resource) {
    this.#operator = operator;
    this.#prefix = prefix;
    this.#resource = resource;
  }

  /** All of it in one read. */
  async standing(): Promise<Standing> {
    const all = await this.#operator.list(this.#prefix);
    const under = (folder: string): typeof all =>
      all.filter(({ key }) => key.startsWith(`${this.#prefix}${folder}`));
    const entryOf = ({ key, modRevision, version }: (typeof all)[number]): LogEntry => {
      const [token, process, counter] = key.slice(`${this.#prefix}log/`.length).split('/');
      return {
        process: process!,
        token: BigInt(token!),
        counter: Number(counter),
        order: modRevision,
        times: version,
      };
    };
    return {
      logs: { etcd: under('log/').map(entryOf), http: this.#resource.log },
      timesWritten: under('last')[0]?.version ?? 0,
      elseBranches: under('else/').map(({ key }) => key),
    };
  }

  /** How many appends etcd has had until now. */
  async timesWritten(): Promise<number> {
    const [counted] = await this.#operator.list(`${this.#prefix}last`);
    return counted?.version ?? 0;
  }
}
