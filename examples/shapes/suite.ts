/** A test suite with one etcd, one client, and a prefix for each test. Runs under `node --test`. */
/* oxlint-disable typescript/no-floating-promises -- node:test awaits its tests */
import { after, before, test, type TestContext } from 'node:test';
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { Etcd3 } from 'etcd3';
import { Election } from 'etcd-election';
import { startEtcd } from 'etcd-election/dev';

// #region suite
let etcd: Awaited<ReturnType<typeof startEtcd>>;
let client: Etcd3;
before(async () => {
  etcd = await startEtcd(); // once per suite: each start takes a second
  client = new Etcd3({ hosts: [...etcd.endpoints] });
});
after(async () => {
  client.close();
  await etcd.stop();
});

/** Makes an election that is closed at the end of its test, even if the test fails. */
function election(t: TestContext): Election {
  const one = new Election(client, 'job', { prefix: `test-${randomUUID()}/`, ttlSeconds: 2 });
  t.after(() => one.close());
  return one;
}

test('runs the job as leader', async (t) => {
  const one = election(t);
  assert.equal(await one.lead(async (term) => term.isCurrent()), true);
});

test('hands over', async (t) => {
  const one = election(t);
  const term = await one.campaign();
  await one.stepDown();
  assert.equal(term.isCurrent(), false);
});
// #endregion suite
