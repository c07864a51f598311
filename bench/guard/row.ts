/**
 * The measured side of one row of the matrix: a process of its own that does what a caller might do.
 *
 *   node row.mjs <scenario> <hosts, with commas> <user:password, or nothing>
 */
import { Etcd3, type IOptions } from 'etcd3';
import { Election, type ElectionOptions, type Logger, type Term } from 'etcd-election';
import diagnosticsChannel from 'node:diagnostics_channel';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { methodsWithRows, overRows } from './coverage.ts';
import { countRound, told, type Told } from './support/tell.ts';

/** What this side tells of its own accord, or when it is asked. */
export type Message =
  | { readonly type: 'loaded' }
  | { readonly type: 'leads'; readonly atMs: number }
  | { readonly type: 'lost'; readonly atMs: number }
  | { readonly type: 'tripped' }
  | {
      readonly type: 'report';
      readonly told: Told;
      readonly heapBytes: number;
      /** Timers, sockets and whatever else keeps an event loop busy. */
      readonly resources: number;
    };

const [scenario = '', hosts = '', credentials = ''] = process.argv.slice(2);
const [username, password] = credentials.split(':');

const options = (): IOptions => ({
  hosts: hosts.split(','),
  ...(username !== undefined && username !== '' && { auth: { username, password: password ?? '' } }),
});
const connect = (): Etcd3 => new Etcd3(options());
const client = connect();

const NAME = 'matrix';
const IP = '10.0.0.7';
const noop = (): void => undefined;

const stand = (more: ElectionOptions = {}): Election => {
  const election = new Election(client, NAME, more);
  election.campaign(IP).catch(noop);
  return election;
};

/** Goes round until the process is ended from outside. */
async function forever(round: (turn: number) => unknown): Promise<never> {
  for (let turn = 0; ; turn++) {
    countRound();
    await round(turn);
  }
}

/** As above, and throws away whatever goes wrong. */
const foreverSwallowing = (round: (turn: number) => unknown): Promise<never> =>
  forever(async (turn) => {
    try {
      await round(turn);
    } catch {
      // and round again
    }
  });

/** Goes round in each turn of the event loop, and awaits nothing of ours. */
const eachTurn = (round: (turn: number) => unknown): Promise<never> =>
  forever(async (turn) => {
    void (async () => round(turn))().catch(noop);
    await nextTurn();
  });

const brokenLogger = (): Logger => {
  const fail = (): never => {
    throw new Error('the disk is full');
  };
  return { trace: fail, debug: fail, info: fail, warn: fail, error: fail };
};

/** Until the cause has appeared: a loop that writes is meant to fail. */
const SETTLED_MS = 5_000;

const commit = (term: Term): Promise<unknown> =>
  term.txn().then(client.put('matrix/progress').value('x')).commit();

/** One call of a method without arguments, when the election is closed and the term is over. */
async function overScenario(method: string): Promise<() => unknown> {
  const election = new Election(client, NAME);
  const term = await election.campaign(IP);
  await election.close();
  const [of = '', name = ''] = method.replace('()', '').split('.');
  const on = { election, term }[of] as unknown as Record<string, () => unknown>;
  return async () => {
    const answer = on[name]!();
    if (name === 'observe') for await (const _ of answer as AsyncIterable<unknown>);
    else if (name === 'txn') await (answer as ReturnType<Term['txn']>).commit();
    else await answer;
  };
}

const scenariosWhenAllIsOver = Object.fromEntries(
  methodsWithRows.flatMap((method) => {
    const { loop, flood } = overRows(method);
    return [
      [loop, async () => foreverSwallowing(await overScenario(method))],
      [
        flood,
        async () => {
          const call = await overScenario(method);
          return forever(() => {
            Promise.resolve(call()).catch(noop);
            return nextTurn();
          });
        },
      ],
    ];
  }),
);

const scenarios: Record<string, () => unknown> = {
  ...scenariosWhenAllIsOver,

  stand: () => stand(),

  // The caller's loops.
  'loop, swallowing': () => foreverSwallowing(() => new Election(client, NAME).campaign(IP)),
  'loop, not catching': () => forever(() => new Election(client, NAME).campaign(IP)).catch(noop),
  'loop, a new client each turn': () => foreverSwallowing(() => new Election(connect(), NAME).campaign(IP)),
  'loop, the same object': () => {
    const election = new Election(client, NAME);
    return foreverSwallowing(() => election.campaign(IP));
  },
  'loop, the same object, another value each turn': () => {
    const election = new Election(client, NAME);
    return foreverSwallowing((turn) => election.campaign(`${IP}:${turn}`));
  },
  'campaign, resign, campaign': () => {
    const election = new Election(client, NAME);
    return foreverSwallowing(async () => {
      await election.campaign(IP);
      await election.resign();
    });
  },
  'campaign, stepDown': () => {
    const election = new Election(client, NAME);
    return foreverSwallowing(async () => {
      await election.campaign(IP);
      await election.stepDown();
    });
  },
  'lead of nothing': () => {
    const election = new Election(client, NAME);
    return foreverSwallowing(() => election.lead(async () => undefined));
  },
  'lead of nothing, a new object each turn': () =>
    foreverSwallowing(() => new Election(client, NAME).lead(async () => undefined)),
  'close, then new': () =>
    foreverSwallowing(async () => {
      const election = new Election(client, NAME);
      await election.campaign(IP);
      await election.close();
    }),
  'campaign after close': async () => {
    const election = new Election(client, NAME);
    await election.close();
    await foreverSwallowing(() => election.campaign(IP));
  },
  'a bad value': () => {
    const election = new Election(client, NAME);
    return foreverSwallowing(() => election.campaign(7 as never));
  },
  'a bad name': () => foreverSwallowing(() => new Election(client, '').campaign(IP)),
  'a new name each turn': () => foreverSwallowing((turn) => new Election(client, `x${turn}`).campaign(IP)),
  'lead of nothing, a new name each turn': () =>
    foreverSwallowing((turn) => new Election(client, `x${turn}`).lead(async () => undefined)),
  'resign of nothing': () => {
    const election = new Election(client, NAME);
    return foreverSwallowing(() => election.resign());
  },
  'stepDown of nothing': () => {
    const election = new Election(client, NAME);
    return foreverSwallowing(() => election.stepDown());
  },
  'close of what is closed': () => {
    const election = new Election(client, NAME);
    return foreverSwallowing(() => election.close());
  },
  'close, a new election each turn': () =>
    foreverSwallowing((turn) => new Election(client, `x${turn}`).close()),
  'observe, ended before it begins': () => {
    const election = stand();
    return foreverSwallowing(() => election.observe().return());
  },
  'observe, broken off': () => {
    const election = stand();
    return foreverSwallowing(async () => {
      for await (const _ of election.observe()) break;
    });
  },
  'observe, broken off, a new object each turn': () =>
    foreverSwallowing(async () => {
      for await (const _ of new Election(client, NAME).observe()) break;
    }),
  'observe, each ended by a timeout': () => {
    const election = stand();
    return foreverSwallowing(async () => {
      for await (const _ of election.observe({ signal: AbortSignal.timeout(10) }));
    });
  },
  'observe, never read, each turn': () => {
    const election = new Election(client, NAME);
    return eachTurn(() => election.observe());
  },
  'observe, next() un-awaited each turn': () => {
    const leaders = new Election(client, NAME).observe();
    return eachTurn(() => leaders.next());
  },
  'observe, left open, each turn': () => {
    const election = new Election(client, NAME);
    return eachTurn(() => election.observe().next());
  },
  'campaign and resign, un-awaited each turn': () => {
    const election = new Election(client, NAME);
    return eachTurn(() => {
      election.campaign(IP).catch(noop);
      return election.resign();
    });
  },
  'lead, given up at once, a new name each turn': () =>
    foreverSwallowing((turn) =>
      new Election(client, `x${turn}`).lead(async () => undefined, { signal: AbortSignal.timeout(0) }),
    ),
  'leader, a new client and a new name each turn': () =>
    foreverSwallowing(async (turn) => {
      const own = connect();
      try {
        await new Election(own, `x${turn}`).leader();
      } finally {
        own.close();
      }
    }),
  'leader, un-awaited each turn': () => {
    const election = new Election(client, NAME);
    return eachTurn(() => election.leader());
  },
  'a new election each turn, never used': () => eachTurn((turn) => void new Election(client, `x${turn}`)),
  'run that never ends, each turn': async () => {
    const term = await new Election(client, NAME).campaign(IP);
    await eachTurn(() => term.run(() => new Promise<void>(noop)));
  },
  'every, each turn': async () => {
    const term = await new Election(client, NAME).campaign(IP);
    await eachTurn(() => term.every(1_000, noop));
  },
  'onEnd, each turn': async () => {
    const term = await new Election(client, NAME).campaign(IP);
    await eachTurn(() => term.onEnd(noop));
  },
  'txn, never committed, each turn': async () => {
    const term = await new Election(client, NAME).campaign(IP);
    await eachTurn(() => void term.txn());
  },
  'leader, polled': () => {
    const election = stand();
    return foreverSwallowing(() => election.leader());
  },
  'leader, polled by ten': () => {
    const election = stand();
    return Promise.all(Array.from({ length: 10 }, () => foreverSwallowing(() => election.leader())));
  },
  'leader, polled on new objects': () => foreverSwallowing(() => new Election(client, NAME).leader()),
  'proclaim, in a loop': async () => {
    const term = await new Election(client, NAME).campaign(IP);
    await foreverSwallowing((turn) => term.proclaim(`${IP}:${turn}`));
  },
  'leader, a new name each turn': () =>
    foreverSwallowing((turn) => new Election(client, `x${turn}`).leader()),
  'leader, un-awaited, a new name each turn': () =>
    forever((turn) => {
      new Election(client, `x${turn}`).leader().catch(noop);
      return nextTurn();
    }),
  'observe, broken off, a new name each turn': () =>
    foreverSwallowing(async (turn) => {
      for await (const _ of new Election(client, `x${turn}`).observe()) break;
    }),
  'observe, broken off, un-awaited each turn': () => {
    const election = stand();
    const once = async (): Promise<void> => {
      for await (const _ of election.observe()) break;
    };
    return forever(() => {
      once().catch(noop);
      return nextTurn();
    });
  },
  'proclaim, un-awaited each turn': async () => {
    const term = await new Election(client, NAME).campaign(IP);
    await forever((turn) => {
      term.proclaim(`${IP}:${turn}`).catch(noop);
      return nextTurn();
    });
  },
  'run of nothing, in a loop': async () => {
    const term = await new Election(client, NAME).campaign(IP);
    await foreverSwallowing(() => term.run(async () => undefined));
  },
  'lead of nothing, every two seconds': () => {
    const election = new Election(client, NAME);
    return foreverSwallowing(async () => {
      await sleep(2_000);
      await election.lead(async () => undefined);
    });
  },
  'txn, in a loop': async () => {
    const term = await new Election(client, NAME).campaign(IP);
    await sleep(SETTLED_MS);
    await foreverSwallowing(() => commit(term));
  },
  'txn, un-awaited each turn': async () => {
    const term = await new Election(client, NAME).campaign(IP);
    await sleep(SETTLED_MS);
    await forever(() => {
      commit(term).catch(noop);
      return nextTurn();
    });
  },
  'ten thousand in one turn': () => {
    const election = new Election(client, NAME);
    let thrown: Error | undefined;
    try {
      for (let i = 0; i < 10_000; i++) {
        countRound();
        election.campaign(IP).catch(noop);
      }
    } catch (error) {
      thrown = error as Error;
    }
    if (thrown?.name !== 'RunawayLoopError' || !thrown.message.includes(NAME))
      throw new Error(`expected a RunawayLoopError, got ${String(thrown)}`);
  },
  'a flood in one turn that swallows': () => {
    const election = new Election(client, NAME);
    for (;;) {
      countRound();
      try {
        election.campaign(IP).catch(noop);
      } catch {
        // and round again
      }
    }
  },
  'a flood of new objects in one turn that swallows': () => {
    for (;;) {
      countRound();
      try {
        new Election(client, NAME).campaign(IP).catch(noop);
      } catch {
        // and round again
      }
    }
  },
  'a flood of new names in one turn that swallows': () => {
    for (let i = 0; ; i++) {
      countRound();
      try {
        new Election(client, `x${i}`).campaign(IP).catch(noop);
      } catch {
        // and round again
      }
    }
  },
  'un-awaited, each 100 ms': () => {
    const election = new Election(client, NAME);
    setInterval(() => {
      countRound();
      election.campaign(IP).catch(noop);
    }, 100);
  },
  'un-awaited, a new object each 100 ms': () => {
    setInterval(() => {
      countRound();
      new Election(client, NAME).campaign(IP).catch(noop);
    }, 100);
  },
  'un-awaited, a new object each turn': () =>
    forever(() => {
      new Election(client, NAME).campaign(IP).catch(noop);
      return nextTurn();
    }),

  // Callbacks.
  'onLeader throws': () =>
    stand({
      onLeader: () => {
        countRound();
        throw new Error('the database is away');
      },
    }),
  'onLeader rejects': () =>
    stand({
      onLeader: async () => {
        countRound();
        await nextTurn();
        throw new Error('the database is away');
      },
    }),
  'onLeader returns at once': () => stand({ onLeader: countRound }),
  'onLeader never settles': () =>
    stand({
      ttlSeconds: 5,
      onLeader: () => {
        countRound();
        return new Promise<void>(noop);
      },
    }),
  'onLeader resigns, onFollower campaigns': () => {
    const election: Election = stand({
      onLeader: () => {
        countRound();
        return election.resign();
      },
      onFollower: () => void election.campaign(IP).catch(noop),
    });
  },
  'onLeader steps down': () => {
    const election: Election = stand({
      onLeader: () => {
        countRound();
        return election.stepDown();
      },
    });
  },
  'onLeader campaigns again': () => {
    const election: Election = stand({
      onLeader: async () => {
        for (;;) {
          countRound();
          await election.campaign(IP);
        }
      },
    });
  },
  'onLeader closes, and a new one stands': () => {
    const again = (): void => {
      const election = new Election(client, NAME, {
        onLeader: async () => {
          countRound();
          await election.close();
          setImmediate(again);
        },
      });
      election.campaign(IP).catch(noop);
    };
    again();
  },
  'onFollower campaigns': () => {
    const election: Election = stand({
      onFollower: async () => {
        countRound();
        await election.campaign(IP);
      },
    });
  },
  'un-awaited, each turn, while another leads': () => {
    const election = stand();
    return forever(() => {
      election.campaign(IP).catch(noop);
      return nextTurn();
    });
  },
  'un-awaited, another value each 100 ms': () => {
    let turn = 0;
    const election = new Election(client, NAME);
    setInterval(() => {
      countRound();
      election.campaign(`${IP}:${turn++}`).catch(noop);
    }, 100);
  },
  'un-awaited, a new client each 100 ms': () => {
    setInterval(() => {
      countRound();
      new Election(connect(), NAME).campaign(IP).catch(noop);
    }, 100);
  },
  'un-awaited, a new name each 100 ms': () => {
    let turn = 0;
    setInterval(() => {
      countRound();
      new Election(client, `x${turn++}`).campaign(IP).catch(noop);
    }, 100);
  },
  'onFollower throws': () =>
    stand({
      onFollower: () => {
        countRound();
        throw new Error('the cache is away');
      },
    }),
  'a logger that throws': () =>
    stand({
      logger: brokenLogger(),
      onLeader: () => {
        countRound();
        throw new Error('the database is away');
      },
    }),
  'a listener that throws': () => {
    // Node's own rule: what a subscriber throws becomes an uncaught exception.
    process.on('uncaughtException', noop);
    diagnosticsChannel.subscribe('etcd-election:term.ended', () => {
      throw new Error('the metrics are away');
    });
    stand({
      onLeader: () => {
        countRound();
        throw new Error('the database is away');
      },
    });
  },

  // etcd3 itself.
  "the user's calls keep the breaker open": async () => {
    stand();
    await foreverSwallowing(async () => {
      await sleep(250);
      await client.get('user/key').options({ deadline: Date.now() + 1 });
    });
  },
  "the user's calls fail too": async () => {
    stand();
    await foreverSwallowing(async () => {
      await sleep(250);
      await client.get('user/key');
    });
  },
  'client closed under us': async () => {
    await new Election(client, NAME).campaign(IP);
    client.close();
    await foreverSwallowing(() => new Election(client, NAME).campaign(IP));
  },
};

const send = (message: Message): void => void process.send?.(message);

diagnosticsChannel.subscribe('etcd-election:term.started', () => send({ type: 'leads', atMs: Date.now() }));
diagnosticsChannel.subscribe('etcd-election:term.ended', () => send({ type: 'lost', atMs: Date.now() }));
diagnosticsChannel.subscribe('etcd-election:guard.tripped', () => send({ type: 'tripped' }));

process.on('disconnect', () => process.exit()); // whoever measures is gone
/** Twice, with a turn between: what the first collection finalizes is garbage for the second. */
async function collectGarbage(): Promise<void> {
  const { gc } = globalThis as { gc?: () => void };
  gc?.();
  await nextTurn();
  gc?.();
}

/** The least of a few looks: a call under way keeps timers and streams for as long as it takes. */
async function resourcesAtRest(): Promise<number> {
  const looks: number[] = [];
  for (let look = 0; look < 4; look++) {
    looks.push(process.getActiveResourcesInfo().length);
    await sleep(50, undefined, { ref: false });
  }
  return Math.min(...looks);
}

async function report(): Promise<void> {
  const resources = await resourcesAtRest();
  await collectGarbage();
  send({
    type: 'report',
    told: told(),
    heapBytes: process.memoryUsage().heapUsed,
    resources,
  });
}
process.on('message', () => void report());

const play = scenarios[scenario];
if (play === undefined) throw new Error(`no scenario "${scenario}"`);
send({ type: 'loaded' });
// One turn for the message to go out: the scenario may never give another.
setTimeout(() => void play(), 50);
