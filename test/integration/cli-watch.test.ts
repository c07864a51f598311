import { startProxy } from 'etcd-election/dev';
import { describe, expect } from 'vitest';
import { eventually, within } from '../support/eventually.ts';
import { SOON_MS, test } from '../support/world.ts';
import { cli, etcdElection, json, START_MS } from '../support/cli-program.ts';

// `watch` prints every change of the leader until it is interrupted.

describe('watch', () => {
  test('prints a line for every change, also "nobody leads", until it is interrupted', async ({
    etcd,
    prefix,
    candidate,
  }) => {
    const program = cli(etcd.endpoints, prefix)(['watch', 'e']);
    await program.says(/^\S+Z {2}nobody leads$/m, START_MS);
    const alice = candidate('alice');
    const term = await alice.campaign();
    await program.says(new RegExp(`^\\S+Z {2}alice leads \\(token ${term.fencingToken}\\)$`, 'm'), SOON_MS);
    await alice.election.close();
    await program.says(/nobody leads\n.*alice leads.*\n.*nobody leads\n$/, SOON_MS);

    program.child.kill('SIGINT');

    expect(await program.exit()).toBe(0);
  });

  test('an outage of etcd is printed while it lasts, and then the leader', async ({
    etcd,
    prefix,
    candidate,
  }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    await candidate('alice').campaign();
    const program = cli([proxy.endpoint], prefix)(['watch', 'e', '--command-timeout', '1s']);
    await program.says(/alice leads/, START_MS);
    proxy.stall();
    await program.says(/the leader is unknown: .*\n$/, START_MS);
    proxy.resume();
    await program.says(/the leader is unknown.*\n(.*\n)*.*alice leads/, START_MS);
    program.child.kill('SIGINT');
    expect(await program.exit()).toBe(0);
  });

  test('ends at once on a signal although etcd hangs, and prints nothing more', async ({ etcd, prefix }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    const hangsFor = '60s';
    const program = cli([proxy.endpoint], prefix)(['watch', 'e', '--command-timeout', hangsFor]);
    await program.says(/nobody leads/, START_MS);
    proxy.stall();
    await program.says(/the leader is unknown: etcd has confirmed nothing for one TTL/, 10_000 + START_MS);
    const { stdout } = program; // a probe is under way by now: one begins every 2 s

    program.child.kill('SIGINT');

    expect(await within(START_MS, 'the exit', program.exit())).toBe(0);
    expect(program.stdout).toBe(stdout);
  });

  test('ends at once on a signal although etcd hangs from the start', async ({ etcd, prefix }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    proxy.stall();
    const program = cli([proxy.endpoint], prefix)(['watch', 'e', '--command-timeout', '60s']);
    await eventually(() => proxy.connections > 0, { withinMs: START_MS });
    program.child.kill('SIGINT');
    expect(await within(START_MS, 'the exit', program.exit())).toBe(0);
    expect(program.stdout).toBe('');
  });

  test('without etcd it says so and tries again', async () => {
    const program = etcdElection(['watch', 'e'], { ETCDCTL_ENDPOINTS: '127.0.0.1:1' });
    await program.says(/the leader is unknown: cannot reach etcd at .*ECONNREFUSED/, START_MS);
    program.child.kill('SIGINT');
    expect(await program.exit()).toBe(0);
  });

  test('--json prints one document a line', async ({ etcd, prefix, candidate }) => {
    const term = await candidate('alice').campaign();
    const program = cli(etcd.endpoints, prefix)(['watch', 'e', '--json']);
    await program.says(/\n/, START_MS);
    program.child.kill('SIGTERM');
    expect(await program.exit()).toBe(0);
    expect(json(program)).toMatchObject({
      election: 'e',
      leader: { value: 'alice', fencingToken: String(term.fencingToken) },
    });
  });
});
