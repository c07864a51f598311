import { Election, RunawayLoopError } from 'etcd-election';
import { expect } from 'vitest';
import { RecordedLog } from '../support/recorded-log.ts';
import { test } from '../support/world.ts';

// Loops that never let the event loop turn: each call was answered within the turn of its request.

test('G5: a loop that checks a term after its end stops by an error', async ({ candidate }) => {
  const alice = candidate('alice');
  const term = await alice.campaign();
  await alice.election.stepDown();
  const asks = { isCurrent: () => term.isCurrent(), remainingMs: () => term.remainingMs() > 0 };
  for (const [name, ask] of Object.entries(asks)) {
    const loop = (): void => {
      for (let round = 0; round < 1_000_000; round++) if (ask()) return;
    };
    expect(loop, name).toThrow(RunawayLoopError);
  }
});

test('G5: campaign() and close() of a new election each time let the event loop turn', async ({ world }) => {
  const { logger } = new RecordedLog();
  let hasTurned = false;
  setImmediate(() => {
    hasTurned = true;
  });
  for (let round = 0; round < 20; round++) {
    const election = new Election(world.own, `given-up-${round}`, { logger });
    election.campaign().catch(() => undefined);
    await election.close();
  }
  expect(hasTurned).toBe(true);
});

test('G5: close(), resign() and stepDown() of a new election each time let the event loop turn', async ({
  world,
}) => {
  const { logger } = new RecordedLog();
  for (const end of ['close', 'resign', 'stepDown'] as const) {
    let hasTurned = false;
    setImmediate(() => {
      hasTurned = true;
    });
    for (let round = 0; round < 20; round++)
      await new Election(world.own, `${end}${round}`, { logger })[end]();
    expect(hasTurned, end).toBe(true);
  }
});
