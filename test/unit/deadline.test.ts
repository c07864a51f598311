import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  answerLimitMs,
  expiresAtMs,
  renewAtMs,
  renewEveryMs,
  validUntilMs,
} from '../../src/core/deadline.ts';

/** All times in milliseconds on one clock. */
const arbitrary = {
  sentAtMs: fc.double({ min: 0, max: 1e12, noNaN: true }),
  /** Travel time of the request, and of its answer. */
  wayMs: fc.double({ min: 0, max: 60_000, noNaN: true }),
  ttlSeconds: fc.integer({ min: 1, max: 86_400 }),
};

/** etcd counts from when it handles the request, at the latest when it answers. */
const etcdExpiresAtMs = (handledAtMs: number, grantedTtlSeconds: number): number =>
  handledAtMs + grantedTtlSeconds * 1000;

describe('the deadline', () => {
  test('S2: is never later than the earliest release of the lease, however long the request and the answer take', () => {
    fc.assert(
      fc.property(
        arbitrary.sentAtMs,
        arbitrary.wayMs,
        arbitrary.ttlSeconds,
        fc.double({ min: 0, max: 0.49, noNaN: true }),
        (sentAtMs, wayMs, grantedTtlSeconds, marginShare) => {
          const handledAtMs = sentAtMs + wayMs;
          const until = validUntilMs({ sentAtMs, grantedTtlSeconds }, marginShare * grantedTtlSeconds * 1000);
          expect(until).toBeLessThanOrEqual(etcdExpiresAtMs(handledAtMs, grantedTtlSeconds));
        },
      ),
    );
  });

  test('S2: the margin covers different clock rates', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1e9, noNaN: true }),
        arbitrary.ttlSeconds,
        fc.double({ min: -0.05, max: 0.05, noNaN: true }),
        (sentAtMs, grantedTtlSeconds, rate) => {
          // Our clock runs at (1 + rate) of etcd's; the default margin is a tenth of the TTL.
          const proof = { sentAtMs, grantedTtlSeconds };
          const ownSpanMs = validUntilMs(proof, grantedTtlSeconds * 100) - sentAtMs;
          expect(ownSpanMs / (1 + rate)).toBeLessThanOrEqual(grantedTtlSeconds * 1000);
        },
      ),
    );
  });

  test('S2: follows from the granted TTL, not from the requested one', () => {
    expect(expiresAtMs({ sentAtMs: 100, grantedTtlSeconds: 2 })).toBe(2_100);
    expect(validUntilMs({ sentAtMs: 100, grantedTtlSeconds: 2 }, 200)).toBe(1_900);
  });

  test('a renewal moves it by exactly the time between the two requests', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1e12 }),
        fc.integer({ min: 0, max: 1e6 }),
        arbitrary.ttlSeconds,
        (sentAtMs, laterMs, grantedTtlSeconds) => {
          const first = validUntilMs({ sentAtMs, grantedTtlSeconds }, 50);
          expect(validUntilMs({ sentAtMs: sentAtMs + laterMs, grantedTtlSeconds }, 50) - first).toBe(laterMs);
        },
      ),
    );
  });

  test.for([2_000, 2_001, Number.POSITIVE_INFINITY, Number.NaN])(
    'a margin of %s ms, which leaves nothing of a 2 s lease, is refused',
    (marginMs) => {
      expect(() => validUntilMs({ sentAtMs: 0, grantedTtlSeconds: 2 }, marginMs)).toThrow(RangeError);
    },
  );
});

describe('renewing', () => {
  test('L4: after an unanswered renewal there is time for two more before the deadline', () => {
    fc.assert(
      fc.property(arbitrary.ttlSeconds, (ttl) => {
        const threeTriesMs = renewEveryMs(ttl) + 2 * answerLimitMs(ttl);
        expect(threeTriesMs).toBeLessThan(validUntilMs({ sentAtMs: 0, grantedTtlSeconds: ttl }, ttl * 100));
      }),
    );
  });

  test('C1: happens every third of the TTL', () => {
    expect(renewEveryMs(9)).toBe(3_000);
    expect(renewAtMs({ sentAtMs: 100, grantedTtlSeconds: 9 }, 100)).toBe(3_100);
  });

  test('G5: a renewal never follows another at once, however old the proof of the last renewal is', () => {
    fc.assert(
      fc.property(arbitrary.ttlSeconds, fc.nat(10_000), (grantedTtlSeconds, ageMs) => {
        const begunAtMs = 1_000_000;
        const dueAtMs = renewAtMs({ sentAtMs: begunAtMs - ageMs, grantedTtlSeconds }, begunAtMs);
        expect(dueAtMs - begunAtMs).toBeGreaterThanOrEqual(renewEveryMs(grantedTtlSeconds) / 4 - 1e-6);
      }),
    );
  });
});
