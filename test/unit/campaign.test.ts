import { AssertionError } from 'node:assert';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  begin,
  next,
  originOf,
  type CampaignState,
  type Candidacy,
  type EndCause,
  type LossCause,
  type Origin,
  type Outcome,
  type StopCause,
} from '../../src/core/campaign-state.ts';

// No `Partial` anywhere: the compiler requires each state with each outcome, and each cause.

const candidacy: Candidacy = { key: 'election/e/a1', leaseId: '161', createRevision: 7n };

const states: { readonly [S in CampaignState['name']]: Extract<CampaignState, { name: S }> } = {
  settling: { name: 'settling', origin: 'caller', isAfterTerm: false },
  held: { name: 'held', origin: 'caller' },
  entering: { name: 'entering' },
  waiting: { name: 'waiting', candidacy },
  leading: { name: 'leading', candidacy },
  leaving: {
    name: 'leaving',
    candidacy,
    reason: 'evicted',
    afterwards: 'stand-again',
    isAfterTerm: true,
  },
  ended: { name: 'ended', reason: 'resigned' },
};

const outcomes: { readonly [T in Outcome['type']]: Extract<Outcome, { type: T }> } = {
  settled: { type: 'settled' },
  released: { type: 'released' },
  entered: { type: 'entered', candidacy },
  failed: { type: 'failed' },
  elected: { type: 'elected' },
  lost: { type: 'lost', reason: 'lease-lost' },
  stopped: { type: 'stopped', reason: 'closed' },
  left: { type: 'left' },
};

type Row = Record<Outcome['type'], CampaignState['name'] | 'bug'>;

const table: Record<CampaignState['name'], Row> = {
  settling: {
    settled: 'held',
    released: 'bug',
    entered: 'bug',
    failed: 'bug',
    elected: 'bug',
    lost: 'bug',
    stopped: 'leaving',
    left: 'bug',
  },
  held: {
    settled: 'bug',
    released: 'entering',
    entered: 'bug',
    failed: 'bug',
    elected: 'bug',
    lost: 'bug',
    stopped: 'leaving',
    left: 'bug',
  },
  entering: {
    settled: 'bug',
    released: 'bug',
    entered: 'waiting',
    failed: 'held',
    elected: 'bug',
    lost: 'bug',
    stopped: 'leaving',
    left: 'bug',
  },
  waiting: {
    settled: 'bug',
    released: 'bug',
    entered: 'bug',
    failed: 'bug',
    elected: 'leading',
    lost: 'leaving',
    stopped: 'leaving',
    left: 'bug',
  },
  leading: {
    settled: 'bug',
    released: 'bug',
    entered: 'bug',
    failed: 'bug',
    elected: 'bug',
    lost: 'leaving',
    stopped: 'leaving',
    left: 'bug',
  },
  leaving: {
    settled: 'bug',
    released: 'bug',
    entered: 'bug',
    failed: 'bug',
    elected: 'bug',
    lost: 'bug',
    stopped: 'bug',
    left: 'settling',
  },
  ended: {
    settled: 'bug',
    released: 'bug',
    entered: 'bug',
    failed: 'bug',
    elected: 'bug',
    lost: 'bug',
    stopped: 'bug',
    left: 'bug',
  },
};

const cases = Object.entries(table).flatMap(([state, row]) =>
  Object.entries(row).map(([outcome, expected]) => ({
    state: state as CampaignState['name'],
    outcome: outcome as Outcome['type'],
    expected,
  })),
);

const lossOrigins: Record<LossCause, Origin> = {
  'deadline-passed': 'environment',
  'lease-lost': 'environment',
  evicted: 'environment',
  'stepped-down': 'caller',
  'work-failed': 'caller',
  'no-progress': 'caller',
  'follower-stuck': 'caller',
  'work-ended': 'caller',
  refused: 'environment',
};

describe('the successor of each state', () => {
  test.for(cases)('$state, $outcome: $expected', ({ state, outcome, expected }) => {
    const step = (): CampaignState => next(states[state], outcomes[outcome]);
    if (expected === 'bug') expect(step).toThrow(AssertionError);
    else expect(step().name).toBe(expected);
  });

  test('a campaign begins before the guard', () => {
    expect(next(begin(), outcomes.settled)).toEqual({ name: 'held', origin: 'caller' });
  });

  test('the candidacy is kept from entering to leaving', () => {
    const waiting = next(states.entering, { type: 'entered', candidacy });
    expect(waiting).toEqual({ name: 'waiting', candidacy });
    const leading = next(waiting, outcomes.elected);
    expect(leading).toEqual({ name: 'leading', candidacy });
    expect(next(leading, outcomes.lost)).toEqual({
      name: 'leaving',
      candidacy,
      reason: 'lease-lost',
      afterwards: 'stand-again',
      isAfterTerm: true,
    });
    expect(next(leading, outcomes.stopped)).toEqual({
      name: 'leaving',
      candidacy,
      reason: 'closed',
      afterwards: 'end',
      isAfterTerm: true,
    });
  });

  test('a campaign that stops before the answer to its entry leaves with an unknown candidacy', () => {
    expect(next(states.entering, outcomes.stopped)).toMatchObject({
      candidacy: undefined,
      afterwards: 'end',
    });
  });

  test('L3: only a stop ends a campaign, with its cause', () => {
    const causes: Record<StopCause, true> = { resigned: true, closed: true, aborted: true, refused: true };
    for (const reason of Object.keys(causes) as StopCause[]) {
      const leaving = next(states.leading, { type: 'stopped', reason });
      expect(next(leaving, outcomes.left)).toEqual({ name: 'ended', reason });
    }
  });

  test('L3: it campaigns again after any loss', () => {
    for (const [reason, origin] of Object.entries(lossOrigins) as [LossCause, Origin][]) {
      for (const from of [states.waiting, states.leading]) {
        const leaving = next(from, { type: 'lost', reason });
        const settling = next(leaving, outcomes.left);
        expect(settling).toMatchObject({ name: 'settling', isAfterTerm: from === states.leading });
        expect(next(settling, outcomes.settled)).toEqual({ name: 'held', origin });
      }
    }
  });

  test('each end cause has its origin: the caller or the environment', () => {
    const origins: Record<EndCause, Origin> = {
      ...lossOrigins,
      resigned: 'caller',
      closed: 'caller',
      aborted: 'caller',
    };
    for (const [reason, origin] of Object.entries(origins) as [EndCause, Origin][])
      expect(originOf(reason), reason).toBe(origin);
  });
});

describe('any campaign', () => {
  const anyOutcome = fc.constantFrom(...Object.values(outcomes));

  test('G1: passes the guard between two entries', () => {
    fc.assert(
      fc.property(fc.array(anyOutcome, { maxLength: 200 }), (steps) => {
        let campaign = begin();
        let passed = 0;
        let entered = 0;
        for (const step of steps) {
          if (table[campaign.name][step.type] === 'bug') continue;
          if (step.type === 'released') passed++;
          campaign = next(campaign, step);
          if (campaign.name === 'entering') entered++;
        }
        expect(entered).toBe(passed);
      }),
    );
  });

  test('is immutable: each step returns a new state', () => {
    for (const state of Object.values(states)) {
      const frozen = Object.freeze({ ...state });
      for (const outcome of Object.values(outcomes))
        if (table[state.name][outcome.type] !== 'bug') expect(() => next(frozen, outcome)).not.toThrow();
    }
  });
});
