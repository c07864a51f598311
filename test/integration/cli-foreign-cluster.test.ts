// The endpoints of a command name two clusters, as in the state that the event `host.foreign` reports. Both clusters have
// an election of the same name. Every command uses the cluster of the majority, as the library does.
import type { Etcd3 } from 'etcd3';
import { startEtcd, startProxy, type EtcdCluster } from 'etcd-election/dev';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { cli, json, START_MS } from '../support/cli-program.ts';
import { startEtcdWithUsers } from '../support/etcd-with-users.ts';
import { eventually } from '../support/eventually.ts';
import type { Program } from '../support/programs.ts';
import { startSwitchboard } from '../support/switchboard.ts';
import { SOON_MS, test, type TestCandidate } from '../support/world.ts';

/** A command that mixed the clusters would reach the foreign one in a third of its calls. */
const TIMES = 6;

let foreign: EtcdCluster;
beforeAll(async () => void (foreign = await startEtcd()));
afterAll(() => foreign[Symbol.asyncDispose]());

const idOf = async (client: Etcd3): Promise<string> => (await client.maintenance.status()).header.cluster_id;

interface Stage {
  readonly ours: TestCandidate;
  readonly theirs: TestCandidate;
  readonly ourId: string;
  readonly theirId: string;
}

async function stage(candidate: (who: string, options?: object) => TestCandidate): Promise<Stage> {
  const ours = candidate('ours');
  const theirs = candidate('theirs', { hosts: foreign.endpoints[0]! });
  await Promise.all([ours.campaign(), theirs.campaign()]);
  return { ours, theirs, ourId: await idOf(ours.client), theirId: await idOf(theirs.client) };
}

async function all(programs: readonly Program[]): Promise<void> {
  await Promise.all(programs.map((program) => program.over()));
}

describe('two endpoints of our cluster and one of another', () => {
  test('status shows our cluster, and names the other endpoint once, on standard error', async ({
    etcd,
    prefix,
    candidate,
  }) => {
    const { ourId, theirId } = await stage(candidate);
    await using second = await startSwitchboard(etcd.endpoints[0]!);
    const run = cli([foreign.endpoints[0]!, etcd.endpoints[0]!, second.endpoint], prefix);
    const programs = Array.from({ length: TIMES }, () => run(['status', 'e', '--json']));
    await all(programs);
    for (const program of programs) {
      expect(program.child.exitCode, program.said).toBe(0);
      const lease = { ttlLeftSeconds: expect.any(Number) as number };
      expect(json(program)).toMatchObject({ clusterId: ourId, leader: { value: 'ours', ...lease } });
      expect((json(program)['leader'] as typeof lease).ttlLeftSeconds).toBeGreaterThanOrEqual(0);
      expect(program.stderr).toBe(
        `etcd-election: etcd host ${foreign.endpoints[0]} belongs to another cluster (${theirId}, ours is ${ourId}): its answers are ignored; correct this address, or remove it from the list of hosts\n`,
      );
    }
    const text = run(['status', 'e']);
    expect(await text.exit()).toBe(0);
    expect(text.stdout).toContain(`cluster ${ourId}, at ${etcd.endpoints[0]}, ${second.endpoint}\n`);
  });

  test('evict ends the term in our cluster, never the one in the other', async ({
    etcd,
    prefix,
    candidate,
  }) => {
    const { ours, theirs } = await stage(candidate);
    await using second = await startSwitchboard(etcd.endpoints[0]!);
    const run = cli([foreign.endpoints[0]!, etcd.endpoints[0]!, second.endpoint], prefix);
    for (let time = 0; time < TIMES; time++) {
      const term = await ours.elected();
      const evict = run(['evict', 'e', '--yes', '--json']);
      expect(await evict.exit(), evict.said).toBe(0);
      expect(json(evict)).toMatchObject({
        evicted: true,
        term: { value: 'ours', fencingToken: String(term.fencingToken) },
      });
      await eventually(() => !term.isCurrent(), { withinMs: SOON_MS });
    }
    expect(theirs.election.status.term?.isCurrent()).toBe(true);
  });

  test('doctor tries the lease in one cluster only, and names both', async ({ etcd, prefix, world }) => {
    const theirs = world.client({ hosts: foreign.endpoints[0]! });
    const revision = async (): Promise<string> => (await theirs.maintenance.status()).header.revision;
    const before = await revision();
    await using second = await startSwitchboard(etcd.endpoints[0]!);
    const run = cli([foreign.endpoints[0]!, etcd.endpoints[0]!, second.endpoint], prefix);
    const programs = Array.from({ length: TIMES }, () => run(['doctor']));
    await all(programs);
    for (const program of programs) {
      expect(program.child.exitCode, program.said).toBe(1);
      expect(program.stdout).toMatch(/✗ cluster: the endpoints belong to 2 different clusters/);
      expect(program.stdout).toMatch(/✓ lease: /);
      expect(program.stdout).toMatch(/✓ permissions: /);
    }
    expect(await revision()).toBe(before); // nothing was written there
  });

  test('after an outage, watch shows the leader of our cluster, and names the other endpoint', async ({
    etcd,
    prefix,
    candidate,
  }) => {
    await stage(candidate);
    await using first = await startProxy({ target: etcd.endpoints[0]! });
    await using second = await startProxy({ target: etcd.endpoints[0]! });
    const proxies = [first, second];
    const run = cli([foreign.endpoints[0]!, ...proxies.map(({ endpoint }) => endpoint)], prefix);
    const program = run(['watch', 'e', '--command-timeout', '2s']);
    await program.says(/ours leads/, START_MS);
    await program.says(/etcd host \S+ belongs to another cluster/, START_MS, 'stderr');
    for (const proxy of proxies) proxy.stall();
    await program.says(/the leader is unknown: .*\n$/, START_MS);
    for (const proxy of proxies) proxy.resume();
    await program.says(/the leader is unknown.*\n(.*\n)*.*ours leads/, START_MS);
    program.child.kill('SIGINT');
    expect(await program.exit()).toBe(0);
    expect(program.stdout).not.toContain('theirs');
  });
});

test('with no majority every command refuses, and names the endpoints of both clusters', async ({
  etcd,
  prefix,
  candidate,
}) => {
  const { ours, theirs, ourId, theirId } = await stage(candidate);
  const run = cli([etcd.endpoints[0]!, foreign.endpoints[0]!], prefix);
  const [status, evict, watch, doctor] = (
    [['status', 'e', '--json'], ['evict', 'e', '--yes'], ['watch', 'e'], ['doctor']] as const
  ).map((args) => run(args)) as [Program, Program, Program, Program];
  await all([status, evict, watch, doctor]);
  for (const program of [status, evict]) {
    expect(program.child.exitCode, program.said).toBe(1);
    expect(program.stdout).toBe('');
    expect(program.stderr).toContain('the endpoints belong to different clusters of etcd: ');
    expect(program.stderr).toContain(`${etcd.endpoints[0]} (cluster ${ourId})`);
    expect(program.stderr).toContain(`${foreign.endpoints[0]} (cluster ${theirId})`);
  }
  expect(watch.child.exitCode, watch.said).toBe(1);
  expect(watch.stdout).toBe('');
  expect(watch.stderr).toContain('the endpoints belong to different clusters of etcd: ');
  expect(watch.stderr).toMatch(new RegExp(`etcd host ${etcd.endpoints[0]} belongs to cluster ${ourId}`));
  expect(doctor.child.exitCode, doctor.said).toBe(1);
  expect(doctor.stdout).not.toContain('lease:');
  for (const { election } of [ours, theirs]) expect(election.status.term?.isCurrent()).toBe(true);
});

test('unreachable endpoints do not vote, and a silent one delays a command only a little', async ({
  etcd,
  prefix,
  candidate,
}) => {
  await candidate('ours').campaign();
  await using silent = await startProxy({ target: etcd.endpoints[0]! });
  silent.stall();
  const run = cli([silent.endpoint, 'http://127.0.0.1:1', etcd.endpoints[0]!], prefix);
  const programs = Array.from({ length: TIMES }, () => run(['status', 'e', '--command-timeout', '10m']));
  await Promise.all(programs.map((program) => program.exit())); // the limit of exit() is far below the time-out
  for (const program of programs) {
    expect(program.child.exitCode, program.said).toBe(0);
    expect(program.stdout).toContain('ours');
    expect(program.stderr).toBe('');
  }
});

test('with authentication on, a user who may not see the status of etcd is safe too', async () => {
  await using one = await startEtcdWithUsers('election/');
  await using other = await startEtcdWithUsers('election/');
  await using second = await startSwitchboard(one.endpoints[0]!);
  const run = cli([other.endpoints[0]!, one.endpoints[0]!, second.endpoint], 'election/');
  const as = (...args: string[]): Program => run([...args, '--user', 'app:secret']);
  const programs = Array.from({ length: TIMES }, () => as('status', 'e'));
  const doctor = as('doctor');
  await all([...programs, doctor]);
  for (const program of programs) {
    expect(program.child.exitCode, program.said).toBe(3);
    expect(program.stdout).toContain(`at ${one.endpoints[0]}, ${second.endpoint}\n`);
  }
  expect(doctor.stdout).toContain('✗ cluster: the endpoints belong to 2 different clusters');
  expect(doctor.stdout).toMatch(/✓ lease: /);
});
