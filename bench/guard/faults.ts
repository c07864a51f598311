/** Faults of etcd, of the network and by an operator, each with its removal. */
import { Etcd3, type Role, type User } from 'etcd3';
import { setTimeout as sleep } from 'node:timers/promises';
import { startRefusingRelay, type RefusingRelay } from './refusing-relay.ts';
import type { Stage } from './stage.ts';

export interface Fault {
  /**
   * Runs before the process starts.
   * @returns hosts that replace the proxies.
   */
  readonly prepare?: (stage: Stage) => Promise<{ hosts?: string; undo?: () => Promise<void> } | void>;
  /** Causes the fault. */
  readonly begin?: (stage: Stage) => Promise<void> | void;
  /** Removes the fault; resolves when it is removed. */
  readonly end?: (stage: Stage) => Promise<void> | void;
  /** Methods that the operator calls during the measurement; the process does not call them. */
  readonly operatorCalls?: readonly string[];
}

export const refused: Fault = {
  begin: ({ proxies }) => proxies.forEach((proxy) => proxy.cut()),
  end: async ({ proxies }) => void (await Promise.all(proxies.map((proxy) => proxy.restore()))),
};

export const resetOnAccept: Fault = {
  begin: ({ proxies }) => proxies.forEach((proxy) => proxy.resetAll()),
  end: refused.end!,
};

export const silent: Fault = {
  begin: ({ proxies }) => proxies.forEach((proxy) => proxy.stall()),
  end: ({ proxies }) => proxies.forEach((proxy) => proxy.resume()),
};

export const slow: Fault = {
  begin: ({ proxies }) => proxies.forEach((proxy) => proxy.slow(1_000)),
  end: ({ proxies }) => proxies.forEach((proxy) => proxy.slow(0)),
};

/** Repeats an action, one at a time, until it is stopped. */
class Hand {
  #over = new AbortController();
  #done: Promise<void> = Promise.resolve();

  begin(everyMs: number, act: () => Promise<unknown>): void {
    const { signal } = (this.#over = new AbortController());
    this.#done = (async () => {
      while (!signal.aborted) {
        const next = sleep(everyMs, undefined, { signal }).catch(() => undefined);
        await act().catch(() => undefined);
        await next;
      }
    })();
  }

  async end(): Promise<void> {
    this.#over.abort();
    await this.#done;
  }
}

function repeated(
  everyMs: number,
  operatorCalls: readonly string[],
  act: (stage: Stage) => Promise<unknown>,
): Fault {
  const hand = new Hand();
  return {
    begin: (stage) => hand.begin(everyMs, () => act(stage)),
    end: () => hand.end(),
    operatorCalls,
  };
}

/** Killed and started again at once. The start takes most of a second. */
export const flapping: Fault = repeated(1_000, [], async ({ etcd }) => {
  await etcd.members[0]!.kill();
  await sleep(1_000);
  await etcd.members[0]!.start();
});

export const noQuorum: Fault = {
  begin: async ({ etcd }) => {
    await Promise.all([etcd.members[1]!.kill(), etcd.members[2]!.kill()]);
  },
  end: async ({ etcd }) => {
    await Promise.all([etcd.members[1]!.start(), etcd.members[2]!.start()]);
  },
};

/** Freezes the member that carries the streams of the process, as its traffic shows. */
export function frozenMember(): Fault {
  return {
    begin: ({ etcd, proxies }) => {
      const busiest = proxies.reduce((a, b) => (b.bytesUp > a.bytesUp ? b : a));
      etcd.members[proxies.indexOf(busiest)]!.freeze();
    },
    end: ({ etcd }) => etcd.members.forEach((member) => member.thaw()),
  };
}

export const noSpace: Fault = {
  begin: async ({ operator }) => {
    const junk = Buffer.alloc(256 * 1024, 'x');
    for (let i = 0; i < 1_000; i++) {
      try {
        await operator.put(`junk/${i % 4}`).value(junk);
      } catch {
        break;
      }
    }
    // Our own lease is freed from the alarm only if it must be granted anew.
    await revokeAll(operator);
  },
  end: async ({ operator }) => {
    const { header } = await operator.kv.range({ key: Buffer.from('junk/') });
    await operator.kv.compact({ revision: header.revision, physical: true });
    await operator.maintenance.defragment();
    const { alarms } = await operator.maintenance.alarm({ action: 'Get' } as never);
    for (const { alarm, memberID } of alarms)
      await operator.maintenance.alarm({ action: 'Deactivate', alarm, memberID } as never);
  },
};

async function revokeAll(operator: Etcd3): Promise<void> {
  const { leases } = await operator.leaseClient.leaseLeases();
  await Promise.all(leases.map(({ ID }) => operator.leaseClient.leaseRevoke({ ID }).catch(() => undefined)));
}

/** Enables authentication, with a user `matrix` whose password is `right`. */
async function withUsers(stage: Stage, permit: boolean): Promise<{ admin: Etcd3; role: Role; user: User }> {
  const { operator, etcd } = stage;
  await operator.role('root').create();
  await operator.user('root').create('root');
  await operator.user('root').addRole('root');
  const role = operator.role('matrix');
  await role.create();
  if (permit) await role.grant({ permission: 'Readwrite', range: operator.range({ prefix: 'election/' }) });
  await operator.user('matrix').create('right');
  await operator.user('matrix').addRole('matrix');
  await operator.auth.authEnable();
  const admin = new Etcd3({ hosts: etcd.endpoints[0]!, auth: { username: 'root', password: 'root' } });
  return { admin, role: admin.role('matrix'), user: admin.user('matrix') };
}

export function wrongPassword(): Fault {
  let users: Awaited<ReturnType<typeof withUsers>>;
  return {
    prepare: async (stage) => {
      users = await withUsers(stage, true);
      return { undo: async () => users.admin.close() };
    },
    end: async () => void (await users.user.setPassword('wrong')),
  };
}

export function permissionDenied(): Fault {
  let users: Awaited<ReturnType<typeof withUsers>>;
  return {
    prepare: async (stage) => {
      users = await withUsers(stage, false);
      return { undo: async () => users.admin.close() };
    },
    end: async () => {
      const range = users.admin.range({ prefix: 'election/' });
      await users.role.grant({ permission: 'Readwrite', range });
    },
  };
}

/** A change of user rights makes every token invalid each second. */
export function tokensExpire(): Fault {
  const hand = new Hand();
  let users: Awaited<ReturnType<typeof withUsers>>;
  return {
    prepare: async (stage) => {
      users = await withUsers(stage, true);
      return { undo: async () => users.admin.close() };
    },
    begin: ({ etcd }) => {
      void etcd;
      hand.begin(1_000, () => users.user.setPassword('right'));
    },
    end: () => hand.end(),
    operatorCalls: ['UserChangePassword', 'Authenticate'],
  };
}

export const tlsMismatch: Fault = {
  prepare: async ({ proxies }) => ({ hosts: proxies[0]!.endpoint.replace('http:', 'https:') }),
};

/** A name that cannot be resolved: its label is longer than DNS allows, so no name server is asked. */
export const noSuchName: Fault = {
  prepare: async () => ({ hosts: `http://${'etcd'.repeat(16)}:2379` }),
};

export function tooManyRequests(): Fault {
  let relay: RefusingRelay;
  return {
    prepare: async ({ etcd }) => {
      relay = await startRefusingRelay(etcd.endpoints[0]!);
      return { hosts: relay.endpoint, undo: () => Promise.resolve(relay[Symbol.asyncDispose]()) };
    },
    begin: async ({ operator }) => {
      const methods = /\/(Txn|LeaseGrant|LeaseRevoke|Put|Range)$/;
      relay.refuse = { code: 2, message: 'etcdserver: too many requests', methods };
      await revokeAll(operator);
    },
    end: () => {
      relay.refuse = undefined;
    },
  };
}

export const keyDeleted: Fault = repeated(200, ['DeleteRange'], ({ operator }) =>
  operator.delete().prefix('election/').exec(),
);

export const leaseRevoked: Fault = repeated(200, ['LeaseLeases', 'LeaseRevoke'], ({ operator }) =>
  revokeAll(operator),
);

export const compaction: Fault = repeated(1_000, ['Put', 'Compact'], async ({ operator }) => {
  const { header } = await operator.put('operator/beat').value('x').exec();
  await operator.kv.compact({ revision: header.revision });
});

/** Writes keys that are not candidates at an interval: beside ours and below ours. */
export function foreignKeys(everyMs: number): Fault {
  let turn = 0;
  return repeated(everyMs, ['Put', 'DeleteRange'], ({ operator }) => {
    turn++;
    const key =
      turn % 2 === 0 ? `election/matrix/foreign-${turn % 200}` : `election/matrix/deep/${turn % 200}`;
    return turn % 3 === 0 ? operator.delete().key(key).exec() : operator.put(key).value('x').exec();
  });
}

/** A thousand keys that existed before. */
export const fullPrefix: Fault = {
  prepare: async ({ operator }) => {
    for (let batch = 0; batch < 10; batch++)
      await Promise.all(
        Array.from({ length: 100 }, (_, i) =>
          operator.put(`election/matrix/deep/${batch}-${i}`).value('x').exec(),
        ),
      );
  },
  ...keyDeletedAlone(),
};

function keyDeletedAlone(): Fault {
  return repeated(200, ['DeleteRange', 'Range'], async ({ operator }) => {
    const { kvs } = await operator.kv.range({
      key: Buffer.from('election/matrix/0'),
      range_end: Buffer.from('election/matrix/:'),
      keys_only: true,
    });
    for (const { key } of kvs) await operator.kv.deleteRange({ key });
  });
}

/** Another client stays first for good. */
export const foreignLeader: Fault = {
  prepare: async ({ operator }) => void (await operator.put('election/matrix/first').value('somebody')),
  end: async ({ operator }) => void (await operator.delete().key('election/matrix/first')),
};
