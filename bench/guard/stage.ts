/** The environment of one row: a real etcd, a proxy in front of each member, and an operator who may cause faults. */
import { Etcd3 } from 'etcd3';
import { startEtcd, startProxy, type EtcdCluster, type FaultyProxy } from 'etcd-election/dev';

export interface Stage extends AsyncDisposable {
  readonly etcd: EtcdCluster;
  readonly proxies: readonly FaultyProxy[];
  /** Reaches etcd directly, without the faulty network. */
  readonly operator: Etcd3;
}

export interface StageOptions {
  readonly members?: 1 | 3;
  readonly extraArgs?: readonly string[];
}

export async function setStage(options: StageOptions): Promise<Stage> {
  const etcd = await startEtcd(options);
  const proxies = await Promise.all(etcd.endpoints.map((target) => startProxy({ target })));
  const operator = new Etcd3({
    hosts: etcd.endpoints[0]!,
    faultHandling: { host: () => noPolicy as never, global: noPolicy as never },
  });
  return {
    etcd,
    proxies,
    operator,
    async [Symbol.asyncDispose]() {
      operator.close();
      for (const proxy of proxies) await proxy.close();
      await etcd.stop();
    },
  };
}

/** Neither repeats nor refuses calls: the operator sends each call as it is. */
const noPolicy = {
  execute: (run: (context: { signal: AbortSignal }) => unknown) =>
    run({ signal: new AbortController().signal }),
};
