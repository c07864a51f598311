// While two of three members were frozen, commands printed gRPC's words, and did not say what to do.
import { startEtcd } from 'etcd-election/dev';
import { expect } from 'vitest';
import { cli } from '../support/cli-program.ts';
import { test } from '../support/world.ts';

test('status, evict and doctor explain that etcd is silent while two of three members are frozen', async ({
  prefix,
}) => {
  await using etcd = await startEtcd({ members: 3 });
  const etcdElection = cli(etcd.endpoints, prefix);
  etcd.members[1]!.freeze();
  etcd.members[2]!.freeze();
  // etcd itself ends these calls at about the time of our own limit: its text and ours must both be explained.
  const explained = /etcd at .* (does not answer|cannot answer now): .*run etcd-election doctor/i;
  const asked = [['status', 'e'], ['evict', 'e', '--yes'], ['doctor']];
  const programs = asked.map((args) => etcdElection([...args, '--command-timeout', '3s']));
  for (const program of programs) {
    expect(await program.exit()).toBe(1);
    expect(program.said).not.toMatch(/cancelled|context deadline/i);
    if (program.stdout === '') expect(program.stderr).toMatch(explained);
    else expect(program.stdout).toMatch(/lease: cannot obtain one: .*\n.*overloaded/);
  }
});
