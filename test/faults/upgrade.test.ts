import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startEtcd, type EtcdCluster, type EtcdMember } from 'etcd-election/dev';
import { expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { during } from './lab/fault-kind.ts';
import { etcdAnswers } from './lab/etcd-answers.ts';
import { Lab } from './lab/lab.ts';
import { expectKept, forOneTtl } from './lab/story.ts';

// The folders of the versions, from the first to the last, with `etcd` and `etcdctl`. If a version is lower than the one before,
// this is a downgrade. LAB_UPGRADE=/opt/etcd/3.5:/opt/etcd/3.6 npx vitest run --project faults test/faults/upgrade.test.ts
const versions = (process.env['LAB_UPGRADE'] ?? '').split(':').filter((folder) => folder !== '');
if (versions.length === 0) console.log('NOT RUN: the upgrade of etcd, because LAB_UPGRADE names no versions');

const MINUTE_MS = 60_000;

/**
 * A snapshot every second or so. etcd 3.7 panics if its log still has an entry of 3.5 after the last snapshot, because it cannot read
 * requests of the v2 API.
 */
const SNAPSHOTS = '--snapshot-count=50';

/** Members of one cluster whose versions differ. */
class MixedCluster implements AsyncDisposable {
  readonly #folder: string;
  readonly cluster: EtcdCluster;

  private constructor(folder: string, cluster: EtcdCluster) {
    this.#folder = folder;
    this.cluster = cluster;
  }

  static async start(version: string): Promise<MixedCluster> {
    const folder = await mkdtemp(join(tmpdir(), 'etcd-election-upgrade-'));
    const binary = join(folder, 'etcd');
    // Each start of a member looks up the version for its name.
    const script = `#!/bin/sh\nfolder=${version}\nfor flag; do case $flag in --name=*) name=\${flag#--name=};; esac; done
[ -f ${folder}/"$name" ] && folder=$(cat ${folder}/"$name")\nexec "$folder/etcd" "$@"\n`;
    await writeFile(binary, script, { mode: 0o755 });
    return new MixedCluster(folder, await startEtcd({ members: 3, binary, extraArgs: [SNAPSHOTS] }));
  }

  /** Starts the member with its old data on another version. */
  async replace(member: EtcdMember, version: string): Promise<void> {
    await member.stop();
    await writeFile(join(this.#folder, member.name), version);
    await member.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cluster.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function etcdctl(
  version: string,
  endpoints: readonly string[],
  ...args: readonly string[]
): Promise<string> {
  const all = ['--endpoints', endpoints.join(','), '--command-timeout=20s', ...args];
  return (await promisify(execFile)(join(version, 'etcdctl'), all, { timeout: MINUTE_MS })).stdout;
}

const releaseOf = async (version: string): Promise<string> => {
  const { stdout } = await promisify(execFile)(join(version, 'etcd'), ['--version']);
  return /etcd Version: (\S+)/.exec(stdout)![1]!;
};

const lineOf = (release: string): string => release.split('.').slice(0, 2).join('.');

/** Tells etcd that a downgrade follows, and waits until the data of each member has the format of the older version. */
async function announceDowngrade(lab: Lab, from: string, to: string): Promise<void> {
  const line = lineOf(await releaseOf(to));
  // etcd refuses this until it has noticed that all members have the newer version.
  await eventually(() => etcdctl(from, lab.cluster.endpoints, 'downgrade', 'enable', line), {
    withinMs: MINUTE_MS,
  });
  await eventually(
    async () => {
      const said = JSON.parse(
        await etcdctl(from, lab.cluster.endpoints, 'endpoint', 'status', '-w', 'json'),
      ) as {
        Status: { storageVersion?: string };
      }[];
      return said.every(({ Status }) => Status.storageVersion?.startsWith(`${line}.`) === true);
    },
    { withinMs: MINUTE_MS },
  );
}

test.skipIf(versions.length < 2).each([
  ["etcd's leadership is moved away first", true],
  ["without care for etcd's leader", false],
])('S2, L2: an upgrade of etcd, member by member, %s', { timeout: 10 * MINUTE_MS }, async (_, isCareful) => {
  await using mixed = await MixedCluster.start(versions[0]!);
  await using lab = await Lab.start({ cluster: mixed.cluster, ttlSeconds: 3 });
  let before = versions[0]!;
  for (const version of versions.slice(1)) {
    const [old, fresh] = await Promise.all([releaseOf(before), releaseOf(version)]);
    const isDowngrade = old.localeCompare(fresh, 'en', { numeric: true }) > 0;
    if (isDowngrade) await announceDowngrade(lab, before, version);
    for (const member of lab.cluster.members) {
      const marks = { kind: 'upgrade', what: `${member.name}: ${old} to ${fresh}`, touchesEtcd: true };
      await during(lab, marks, async () => {
        const isLeader = async (): Promise<boolean> => (await lab.operator.etcdLeader()) === member;
        while (isCareful && (await isLeader())) await lab.operator.moveLeader();
        await mixed.replace(member, version);
        await etcdAnswers(lab);
      });
      await lab.leader();
      await forOneTtl(lab);
    }
    const said = await etcdctl(version, lab.cluster.endpoints, 'endpoint', 'status');
    expect(said.split(fresh).length - 1, said).toBeGreaterThanOrEqual(3);
    before = version;
  }
  const { terms, gaps } = await expectKept(lab);
  const longestMs = Math.max(0, ...gaps.map(({ ms }) => ms));
  console.log(`${terms} terms; without a leader for at most ${longestMs.toFixed(0)} ms`);
});
