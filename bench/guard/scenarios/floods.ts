/** Calls that the caller does not await, in floods and at intervals. */
import { Election } from 'etcd-election';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { countRound } from '../support/tell.ts';
import { client, connect, NAME, IP, noop, stand, forever, eachTurn, commit, SETTLED_MS } from './caller.ts';

export const floods: Record<string, () => unknown> = {
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
  'leader, un-awaited, a new name each turn': () =>
    forever((turn) => {
      new Election(client, `x${turn}`).leader().catch(noop);
      return nextTurn();
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
        // and repeats
      }
    }
  },
  'a flood of new objects in one turn that swallows': () => {
    for (;;) {
      countRound();
      try {
        new Election(client, NAME).campaign(IP).catch(noop);
      } catch {
        // and repeats
      }
    }
  },
  'a flood of new names in one turn that swallows': () => {
    for (let i = 0; ; i++) {
      countRound();
      try {
        new Election(client, `x${i}`).campaign(IP).catch(noop);
      } catch {
        // and repeats
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
};
