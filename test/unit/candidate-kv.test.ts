import { expect, test } from 'vitest';
import { candidatesOf } from '../../src/etcd/candidate-kv.ts';

const kv = (key: string, lease: string): Parameters<typeof candidatesOf>[0][number] => ({
  key: Buffer.from(key),
  value: Buffer.alloc(0),
  create_revision: '5',
  mod_revision: '5',
  version: '1',
  lease,
});
const leases = (keys: ReturnType<typeof kv>[], keysOnly: boolean): string[] =>
  candidatesOf(keys, keysOnly).map(({ leaseId }) => leaseId);

/** 0x694d9fa880a84203 */
const LEASE = '7587896493250986499';
const OURS = 'e/694d9fa880a84203';

// etcd 3.7.0 and 3.7.1: https://github.com/etcd-io/etcd/issues/22209
test('S3: in an answer without values, a missing lease is the lease in the name of the key', () => {
  expect(leases([kv(OURS, '0'), kv(OURS, LEASE)], true)).toEqual([LEASE, LEASE]);
});

test('S4: in an answer with values, a missing lease means that the key has none', () => {
  expect(leases([kv(OURS, '0'), kv(OURS, LEASE)], false)).toEqual(['0', LEASE]);
});

test('a key that is not named after a lease has the lease that etcd reports', () => {
  expect(leases([kv('e/facade', '0'), kv('e/facade', '7')], true)).toEqual(['0', '7']);
});
