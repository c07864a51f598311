/** The content of the logs at one moment, in etcd and in the other resource. */
import type { LogEntry, Standing } from '../../faults/lab/evidence.ts';
import type { Operator, RawKeyValue } from './operator.ts';
import type { Resource } from './resource.ts';

export interface Where {
  readonly operator: Operator;
  readonly resource: Resource;
  readonly logPrefix: string;
}

export function* standing({ operator, resource, logPrefix }: Where): Generator<number, Standing, void> {
  const entries = (yield* operator.read(`${logPrefix}log/`)) ?? [];
  const last = (yield* operator.read(`${logPrefix}last`)) ?? [];
  const elseBranches = (yield* operator.read(`${logPrefix}else/`)) ?? [];
  return {
    logs: { etcd: entries.map(entryOf), http: [...resource.log] },
    timesWritten: Number(last[0]?.version ?? 0),
    elseBranches: elseBranches.map(({ key }) => key.toString()),
  };
}

function entryOf({ key, mod_revision: order, version }: RawKeyValue): LogEntry {
  const [token, process, counter] = key.toString().split('/').slice(-3) as [string, string, string];
  return {
    process,
    token: BigInt(token),
    counter: Number(counter),
    order: BigInt(order),
    times: Number(version),
  };
}
