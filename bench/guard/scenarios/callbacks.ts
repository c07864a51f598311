/** Callbacks, loggers and listeners that fail, end their term or campaign again. */
import { Election, type Logger } from 'etcd-election';
import diagnosticsChannel from 'node:diagnostics_channel';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { countRound } from '../support/tell.ts';
import { client, NAME, IP, noop, stand } from './caller.ts';

const brokenLogger = (): Logger => {
  const fail = (): never => {
    throw new Error('the disk is full');
  };
  return { trace: fail, debug: fail, info: fail, warn: fail, error: fail };
};

export const callbacks: Record<string, () => unknown> = {
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
    // Node's own rule: an error that a subscriber throws becomes an uncaught exception.
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
};
