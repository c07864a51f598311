/** Loops of the caller that await each call. */
import { Election } from 'etcd-election';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  client,
  connect,
  NAME,
  IP,
  noop,
  stand,
  forever,
  foreverSwallowing,
  commit,
  SETTLED_MS,
} from './caller.ts';

export const loops: Record<string, () => unknown> = {
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
  'observe, broken off, a new name each turn': () =>
    foreverSwallowing(async (turn) => {
      for await (const _ of new Election(client, `x${turn}`).observe()) break;
    }),
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
};
