/** Does what an operator does to etcd, through its JSON gateway and etcdctl, not through the code under test. */
import { execFile } from 'node:child_process';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Credentials } from './auth.ts';
import { etcdctlPath, type EtcdCluster, type EtcdMember } from 'etcd-election/dev';

export interface KeyValue {
  readonly key: string;
  readonly value: string;
  readonly createRevision: bigint;
  readonly modRevision: bigint;
  readonly version: number;
  readonly lease: string;
}

interface RawKeyValue {
  key: string;
  value?: string;
  create_revision: string;
  mod_revision: string;
  version: string;
  lease?: string;
}

/** etcd does not announce the end of its own election, so we poll ten times a second. */
const ASK_AGAIN_MS = 100;
/** etcd needs 1 to 2 s to elect one, and votes may split. In milliseconds. */
const LEADER_PATIENCE_MS = 10_000;

export class Operator {
  readonly #cluster: EtcdCluster;
  readonly #login: Credentials | undefined;

  /** @param login if etcd requires one. */
  constructor(cluster: EtcdCluster, login?: Credentials) {
    this.#cluster = cluster;
    this.#login = login;
  }

  put(key: string, value: string | Buffer): Promise<unknown> {
    return this.#ask('/v3/kv/put', { key: encode(key), value: encode(value) });
  }

  async delete(key: string): Promise<void> {
    await this.#ask('/v3/kv/deleterange', { key: encode(key) });
  }

  /** All keys under a prefix, in order of creation. */
  async list(prefix: string): Promise<KeyValue[]> {
    const answer = (await this.#ask('/v3/kv/range', {
      key: encode(prefix),
      range_end: encode(
        prefix.slice(0, -1) + String.fromCodePoint(prefix.codePointAt(prefix.length - 1)! + 1),
      ),
      sort_target: 'CREATE',
      sort_order: 'ASCEND',
    })) as { kvs?: RawKeyValue[] };
    return (answer.kvs ?? []).map((kv) => ({
      key: decode(kv.key),
      value: decode(kv.value ?? ''),
      createRevision: BigInt(kv.create_revision),
      modRevision: BigInt(kv.mod_revision),
      version: Number(kv.version),
      lease: kv.lease ?? '0',
    }));
  }

  async revoke(leaseId: string): Promise<void> {
    await this.#ask('/v3/lease/revoke', { ID: leaseId });
  }

  /** IDs of all leases, in decimal. */
  async leases(): Promise<string[]> {
    const { leases } = (await this.#ask('/v3/lease/leases', {})) as { leases?: { ID: string }[] };
    return (leases ?? []).map(({ ID }) => ID);
  }

  async compact(): Promise<void> {
    const { header } = (await this.#ask('/v3/kv/range', { key: encode('none') })) as {
      header: { revision: string };
    };
    await this.#ask('/v3/kv/compaction', { revision: header.revision, physical: true }).catch(
      (error: unknown) => {
        if (!(error instanceof Refusal && error.message.includes('compacted'))) throw error; // it is compacted already
      },
    );
  }

  /** The member that leads etcd; undefined while there is none. */
  async etcdLeader(): Promise<EtcdMember | undefined> {
    const untilMs = performance.now() + LEADER_PATIENCE_MS;
    for (;;) {
      const leader = await this.#etcdLeaderNow();
      if (leader !== undefined || performance.now() > untilMs) return leader;
      await sleep(ASK_AGAIN_MS);
    }
  }

  async #etcdLeaderNow(): Promise<EtcdMember | undefined> {
    const said = await Promise.all(
      this.#cluster.members.map(async (member) => {
        if (member.pid === undefined) return undefined;
        const answer = (await ask(member.endpoint, '/v3/maintenance/status', {}, 500).catch(() => ({}))) as {
          leader?: string;
          header?: { member_id: string };
        };
        return answer.leader !== undefined && answer.leader === answer.header?.member_id ? member : undefined;
      }),
    );
    return said.find((member) => member !== undefined);
  }

  /**
   * Moves etcd's leadership to another member.
   * @returns whether it moved.
   */
  async moveLeader(): Promise<boolean> {
    const leader = await this.etcdLeader();
    const other = this.#cluster.members.find((member) => member !== leader && member.pid !== undefined);
    if (leader === undefined || other === undefined) return false;
    try {
      const { header } = (await ask(other.endpoint, '/v3/maintenance/status', {}, 1000)) as {
        header: { member_id: string };
      };
      await this.etcdctl(leader.endpoint, 'move-leader', BigInt(header.member_id).toString(16));
      return true;
    } catch {
      return false;
    }
  }

  async etcdctl(endpoint: string, ...args: readonly string[]): Promise<string> {
    const { stdout } = await promisify(execFile)(
      await etcdctlPath(),
      ['--endpoints', endpoint, '--command-timeout=5s', ...this.#userFlags, ...args],
      {
        timeout: 10_000,
        env: { ...process.env, ETCDCTL_API: '3' },
      },
    );
    return stdout;
  }

  get #userFlags(): string[] {
    return this.#login === undefined ? [] : ['--user', `${this.#login.username}:${this.#login.password}`];
  }

  /** Logs in for every call: a token may have expired, or its member may have forgotten it. */
  async #askAsUser(endpoint: string, path: string, body: object): Promise<unknown> {
    if (this.#login === undefined) return ask(endpoint, path, body, 2_000);
    const { username: name, password } = this.#login;
    const login = { name, password };
    const { token } = (await ask(endpoint, '/v3/auth/authenticate', login, 2_000)) as { token: string };
    return ask(endpoint, path, body, 2_000, token);
  }

  /** Asks one member after another until one answers, for at most the time of an etcd election. */
  async #ask(path: string, body: object): Promise<unknown> {
    const untilMs = performance.now() + 20_000;
    for (let turn = 0; ; turn++) {
      const { endpoint } = this.#cluster.members[turn % this.#cluster.members.length]!;
      try {
        return await this.#askAsUser(endpoint, path, body);
      } catch (error) {
        if (performance.now() > untilMs || error instanceof Refusal) throw error;
        await sleep(ASK_AGAIN_MS);
      }
    }
  }
}

/** etcd answered with a refusal. */
export class Refusal extends Error {}

function ask(
  endpoint: string,
  path: string,
  body: object,
  withinMs: number,
  token?: string,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(withinMs);
    const headers = token === undefined ? {} : { authorization: token };
    const options = { method: 'POST', agent: false, signal, headers };
    const sent = request(`${endpoint}${path}`, options, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => (text += part));
      response.on('error', reject);
      response.on('end', () => {
        if (response.statusCode === 200) return resolve(JSON.parse(text));
        const isAnswer = /not found|space exceeded|compacted/.test(text);
        reject(isAnswer ? new Refusal(text) : new Error(`${response.statusCode}: ${text}`));
      });
    });
    sent.on('error', reject);
    sent.end(JSON.stringify(body));
  });
}

const encode = (text: string | Buffer): string => Buffer.from(text as string).toString('base64');
const decode = (text: string): string => Buffer.from(text, 'base64').toString();

/** A handler of errors that rejects with all but refusals by etcd. */
export const ignoreRefusal = (error: unknown): void => {
  if (!(error instanceof Refusal)) throw error;
};
