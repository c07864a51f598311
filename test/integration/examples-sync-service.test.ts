import { beforeAll, describe, expect } from 'vitest';
import { TaskStore } from '../../examples/sync-service/task-store.ts';
import { eventually } from '../support/eventually.ts';
import { compile, Program } from '../support/programs.ts';
import { SOON_MS, SHORT_TTL_SECONDS, test } from '../support/world.ts';

// Runs examples/sync-service as processes, and checks the promises in its README.

const START_MS = 15_000;

let main: string;
beforeAll(async () => {
  [main] = (await compile(['examples/sync-service/main.ts'])) as [string];
});

interface Place {
  readonly endpoints: readonly string[];
  readonly prefix: string;
}

class Replica {
  readonly name: string;
  readonly program: Program;
  url = '';

  constructor({ endpoints, prefix }: Place, name: string, env: NodeJS.ProcessEnv = {}) {
    this.name = name;
    this.program = new Program(main, [], {
      env: {
        ETCD_ENDPOINTS: endpoints.join(),
        ELECTION: prefix.replace('/', ''),
        KEYS: `${prefix}sync/`,
        TTL_SECONDS: String(SHORT_TTL_SECONDS),
        PORT: '0',
        DIAGNOSTICS_PORT: 'off',
        ANNOUNCE: name,
        ...env,
      },
    });
  }

  async ready(): Promise<this> {
    const [, port] = await this.program.says(/^listening on .*"port":(\d+)/m, START_MS);
    this.url = `http://127.0.0.1:${port}`;
    return this;
  }

  call(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(this.url + path, { ...init, signal: AbortSignal.timeout(SOON_MS) });
  }

  /** @returns the ID of the task, or undefined if it was not acknowledged. */
  async add(name: string): Promise<string | undefined> {
    const body = JSON.stringify({ name });
    const response = await this.call('/synctask/add', { method: 'POST', body }).catch(() => undefined);
    return response?.status === 201 ? ((await response.json()) as { id: string }).id : undefined;
  }

  async list(): Promise<{
    leader: string | null;
    waiting: { id: string }[];
    done: { id: string; token: string }[];
  }> {
    return (await (await this.call('/synctask/list')).json()) as Awaited<ReturnType<Replica['list']>>;
  }
}

describe('examples/sync-service', () => {
  test('accepts tasks, executes them, and shuts down in good order', async ({ etcd, prefix }) => {
    const replica = await new Replica({ ...etcd, prefix }, 'one', { DIAGNOSTICS_PORT: '0' }).ready();
    const id = await replica.add('customers');
    expect(id).toBeDefined();
    await eventually(
      async () =>
        expect((await replica.list()).done).toMatchObject([
          { id, name: 'customers', result: { synced: 'customers' } },
        ]),
      { withinMs: SOON_MS },
    );
    expect((await replica.list()).leader).toBe('one');
    const [, diagnostics] = await replica.program.says(/^diagnostics on (\S+)\/debug/m, START_MS);
    const metrics = await (await fetch(`${diagnostics}/metrics`)).text();
    expect(metrics).toContain(`etcd_election_is_leader{election="${prefix.replace('/', '')}"} 1`);
    expect((await replica.call('/healthz')).status).toBe(200);
    expect((await replica.call('/readyz')).status).toBe(200);

    replica.program.child.kill('SIGTERM');

    expect(await replica.program.exit()).toBe(0);
    expect(replica.program.stdout).toMatch(/SIGTERM: shutting down\n[^]*\nshut down\n$/);
  });

  test('answers invalid requests with an explanation', async ({ etcd, prefix }) => {
    const replica = await new Replica({ ...etcd, prefix }, 'one').ready();
    const post = (body: string): RequestInit => ({ method: 'POST', body });
    const answers: [string, RequestInit, number][] = [
      ['/synctask/add', post('no json'), 400],
      ['/synctask/add', post('null'), 400],
      ['/synctask/add', post('{"name": 7}'), 400],
      ['/synctask/add', post('{"name": ""}'), 400],
      ['/synctask/add', post(JSON.stringify({ name: 'n'.repeat(201) })), 400],
      ['/synctask/add', post(JSON.stringify({ name: 'n', payload: 'x'.repeat(70_000) })), 413],
      ['/synctask/add', {}, 405],
      ['/synctask/del', {}, 400],
      ['/synctask/del?id=..%2F..%2Fetc', {}, 400],
      ['/synctask/del?id=00000000-0000-0000-0000-000000000000', {}, 404],
      ['/synctask/list', post('{}'), 405],
      ['/constructor', {}, 404],
      ['/', {}, 404],
    ];
    for (const [path, init, status] of answers) {
      const response = await replica.call(path, init);
      expect([path, response.status]).toEqual([path, status]);
      expect(await response.json()).toHaveProperty('error');
    }
    replica.program.child.kill('SIGTERM');
    expect(await replica.program.exit()).toBe(0);
  });

  test('a repeated write does not bring back a task that was removed', async ({ client, prefix }) => {
    const etcd = client();
    let repeat: (() => Promise<unknown>) | undefined;
    /** As etcd3, which repeats a write whose answer was lost. */
    const repeating = Object.create(etcd, {
      if: {
        value: (...condition: Parameters<typeof etcd.if>) => {
          const txn = etcd.if(...condition);
          repeat = txn.commit.bind(txn);
          return txn;
        },
      },
    }) as typeof etcd;
    const tasks = new TaskStore(etcd, prefix);
    const { id } = await new TaskStore(repeating, prefix).add('customers', null);
    expect(await tasks.waiting()).toMatchObject([{ id }]);
    expect(await tasks.remove(id)).toBe(true);
    await repeat!();
    expect(await tasks.waiting()).toEqual([]);
    expect(await tasks.remove(id)).toBe(false);
  });

  test('loses no task if the leader is killed while tasks arrive', async ({ etcd, prefix, world }) => {
    const replicas = ['one', 'two', 'three'].map((name) => new Replica({ ...etcd, prefix }, name));
    await Promise.all(replicas.map((replica) => replica.ready()));
    const leaderOf = async (among: readonly Replica[]): Promise<Replica> =>
      await eventually(
        async () => {
          const { leader } = await among[0]!.list();
          const found = among.find(({ name }) => name === leader);
          if (found === undefined) throw new Error(`led by ${leader}`);
          return found;
        },
        { withinMs: 2 * SHORT_TTL_SECONDS * 1000 + SOON_MS },
      );
    const doomed = await leaderOf(replicas);

    const acknowledged: string[] = [];
    const TASKS = 240;
    for (let number = 0; number < TASKS; number++) {
      if (number === TASKS / 3) doomed.program.child.kill('SIGKILL');
      const replica = replicas[number % replicas.length]!;
      const id = await replica.add(`task ${number}`);
      if (id !== undefined) acknowledged.push(id);
    }
    const survivors = replicas.filter((replica) => replica !== doomed);
    const heir = await leaderOf(survivors);
    expect(heir).not.toBe(doomed);
    await eventually(async () => (await heir.list()).waiting.length === 0, { withinMs: 3 * SOON_MS });

    expect(acknowledged.length).toBeGreaterThan(TASKS / 2);
    const { kvs } = await world.own.getAll().prefix(`${prefix}sync/done/`).sort('Mod', 'Ascend').exec();
    const done = kvs.map(({ value, version }) => ({
      ...(JSON.parse(value.toString()) as { id: string; token: string }),
      version,
    }));
    const times = new Map<string, number>();
    for (const { id } of done) times.set(id, (times.get(id) ?? 0) + 1);
    for (const id of acknowledged) expect(times.get(id), id).toBe(1);
    expect(done.every(({ version }) => version === '1')).toBe(true);
    const tokens = done.map(({ token }) => BigInt(token));
    expect(tokens.every((token, index) => index === 0 || token >= tokens[index - 1]!)).toBe(true);
    expect(new Set(tokens).size).toBeGreaterThanOrEqual(2); // the next leader took part, and perhaps a third one
    for (const { program } of survivors) program.child.kill('SIGTERM');
    for (const { program } of survivors) expect(await program.exit()).toBe(0);
  });
});
