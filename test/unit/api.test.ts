import * as api from 'etcd-election';
import { expect, expectTypeOf, test } from 'vitest';
import type { Election, ElectionOptions, ElectionStatus, Leader, Term } from 'etcd-election';

test('what users can import; a change here is a breaking change', () => {
  expect(Object.keys(api).sort()).toMatchInlineSnapshot(`
    [
      "AlreadyStandingError",
      "Election",
      "ElectionClosedError",
      "ElectionError",
      "InvalidInputError",
      "LeadershipLostError",
      "OutcomeUnknownError",
      "RefusedError",
      "RunawayLoopError",
      "UnavailableError",
      "channelNames",
      "failedElections",
      "liveElections",
      "loopGuards",
    ]
  `);
});

test('what an election and a term can do', () => {
  expect(Object.getOwnPropertyNames(api.Election.prototype).sort()).toMatchInlineSnapshot(`
    [
      "campaign",
      "candidates",
      "close",
      "constructor",
      "currentTerm",
      "health",
      "isCurrent",
      "lead",
      "leader",
      "observe",
      "resign",
      "status",
      "stepDown",
    ]
  `);
  expectTypeOf<keyof Term>().toEqualTypeOf<
    | 'election'
    | 'value'
    | 'key'
    | 'leaseId'
    | 'fencingToken'
    | 'signal'
    | 'isCurrent'
    | 'assertCurrent'
    | 'remainingMs'
    | 'proclaim'
    | 'heartbeat'
    | 'txn'
    | 'run'
    | 'every'
    | 'onEnd'
    | 'stepDown'
    | 'resign'
    | 'put'
    | 'delete'
    | 'settle'
  >();
  expectTypeOf<Election>().toExtend<AsyncDisposable>();
  expectTypeOf<Election['campaign']>().toEqualTypeOf<(value?: string) => Promise<Term>>();
  expectTypeOf<Election['leader']>().returns.toEqualTypeOf<Promise<Leader | undefined>>();
  expectTypeOf<Election['observe']>().returns.toExtend<AsyncIterable<Leader | undefined | null>>();
  expectTypeOf<Election['lead']>().toBeCallableWith(async (term: Term) => term.fencingToken);
  expectTypeOf<ElectionStatus['state']>().toEqualTypeOf<
    'idle' | 'held' | 'entering' | 'waiting' | 'leading' | 'leaving' | 'closed'
  >();
  expectTypeOf<keyof ElectionOptions>().toEqualTypeOf<
    | 'ttlSeconds'
    | 'allowLongTtl'
    | 'prefix'
    | 'onLeader'
    | 'onFollower'
    | 'onLeaderChange'
    | 'whenWorkEnds'
    | 'logger'
    | 'marginMs'
    | 'drainTimeoutMs'
    | 'progressTimeoutMs'
    | 'guard'
    | 'signal'
    | 'lastWill'
  >();
});
