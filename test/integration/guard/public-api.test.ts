import { setImmediate as nextTurn } from 'node:timers/promises';
import { Election, RunawayLoopError, type Term } from 'etcd-election';
import { describe, expect } from 'vitest';
import { coverage, type Coverage } from '../../../bench/guard/coverage.ts';
import { LiveTerm } from '../../../src/term/live-term.ts';
import { expectHeld, mostReads, watch } from '../../support/hot-loop.ts';
import { test, TestCandidate } from '../../support/world.ts';

// Finds the public methods of election and term. Calls them wrongly or without effect, in a loop that swallows all
// errors and in a flood. A new method is covered automatically.

/** The methods of an object, without getters and methods that only the library calls. */
function methodsOf(of: object, covered: Readonly<Record<string, Coverage>>): string[] {
  return Object.entries(Object.getOwnPropertyDescriptors(of))
    .filter(([name, { value }]) => typeof value === 'function' && name !== 'constructor' && name in covered)
    .map(([name]) => name);
}

/** Methods that answer from memory: a loop around them is the caller's own, and the watchdog sees it. */
const asksAndAnswers = (name: string, covered: Readonly<Record<string, Coverage>>): boolean =>
  !('memory' in covered[name]!);

type Callable = Record<string, (...args: unknown[]) => unknown>;

/** One call without arguments, awaited as a caller would. An iteration is read to its end. */
async function call(on: object, name: string): Promise<void> {
  const answer = (on as Callable)[name]!();
  if (typeof answer === 'object' && answer !== null && Symbol.asyncIterator in answer)
    for await (const _ of answer as AsyncIterable<unknown>);
  else if (typeof answer === 'object' && answer !== null && 'commit' in answer)
    await (answer as { commit(): Promise<unknown> }).commit();
  else await answer;
}

const all = [
  ...methodsOf(Election.prototype, coverage.election).map((name) => ['election', name] as const),
  ...methodsOf(LiveTerm.prototype, coverage.term).map((name) => ['term', name] as const),
].filter(([of, name]) => asksAndAnswers(name, coverage[of]));

async function overIn(alice: TestCandidate): Promise<{ election: Election; term: Term }> {
  const term = await alice.campaign();
  await alice.election.close();
  return { election: alice.election, term };
}

test('the search finds every covered method', () => {
  expect(all.map(([, name]) => name)).toEqual(
    expect.arrayContaining(['campaign', 'observe', 'proclaim', 'txn']),
  );
  expect(all.length).toBeGreaterThan(12);
});

describe.each(all)('%s.%s() of an ended election', (of, name) => {
  test('G4: in one turn throws at once', async ({ candidate }) => {
    const on = (await overIn(candidate('alice')))[of];
    let thrown: unknown;
    for (let i = 0; i < 12_000 && !(thrown instanceof RunawayLoopError); i++)
      try {
        const answer = (on as unknown as Callable)[name]!();
        if (answer instanceof Promise) answer.catch(() => undefined);
      } catch (error) {
        thrown = error;
      }
    expect(thrown).toBeInstanceOf(RunawayLoopError);
    await nextTurn();
  });
});

const awaited = all.filter(([of, name]) => !('sync' in (coverage[of] as Record<string, Coverage>)[name]!));

describe.each(awaited)('%s.%s() of an ended election', (of, name) => {
  test('G1: in a loop that swallows all errors is held, and the event loop turns', async ({ candidate }) => {
    const on = (await overIn(candidate('alice')))[of];
    const seen = await watch(() => call(on, name));
    expectHeld(seen, mostReads(seen)); // every other call has the burst of the election
  });
});
