/** Leaves a last will that no helper can carry out, prints the holder, and has nothing more to do. */
import type { Etcd3 } from 'etcd3';
import { LastWill } from '../../src/last-will/index.ts';
import { childrenOf } from './last-will-process.ts';

const client = { options: { hosts: '127.0.0.1:1' } } as unknown as Etcd3;
new LastWill(client).hold('7', undefined, () => undefined);
setImmediate(() => process.stdout.write(childrenOf(process.pid).join()));
