import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { answerLimitMs, expiresAtMs, renewEveryMs, validUntilMs } from '../../src/core/deadline.ts';

/** Every time on one clock, in milliseconds. */
const arbitrary = {
  sentAtMs: fc.double({ min: 0, max: 1e12, noNaN: true }),
  /** Of the request, and of its answer. */
  wayMs: fc.double({ min: 0, max: 60_000, noNaN: true }),
  ttlSeconds: fc.integer({ min: 1, max: 86_400 }),
};

/** etcd counts from the moment it handles the request, at the latest when it answers. */
const etcdExpiresAtMs = (handledAtMs: number, grantedTtlSeconds: number): number =>
  handledAtMs + grantedTtlSeconds * 1000;

describe('the deadline', () => {
  test('S2: is never later than etcd can let the lease go, however long request and answer took', () => {
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

  test('S2: the margin takes up clocks that run at different rates', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1e9, noNaN: true }),
        arbitrary.ttlSeconds,
        fc.double({ min: -0.05, max: 0.05, noNaN: true }),
        (sentAtMs, grantedTtlSeconds, rate) => {
          // Our clock goes at (1 + rate) of etcd's; the default margin is a tenth of the TTL.
          const proof = { sentAtMs, grantedTtlSeconds };
          const ownSpanMs = validUntilMs(proof, grantedTtlSeconds * 100) - sentAtMs;
          expect(ownSpanMs / (1 + rate)).toBeLessThanOrEqual(grantedTtlSeconds * 1000);
        },
      ),
    );
  });

  test('S2: counts what etcd granted, not what was asked', () => {
    expect(expiresAtMs({ sentAtMs: 100, grantedTtlSeconds: 2 })).toBe(2_100);
    expect(validUntilMs({ sentAtMs: 100, grantedTtlSeconds: 2 }, 200)).toBe(1_900);
  });

  test('a renewal moves it by exactly the time between the two sends', () => {
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
  test('L4: one that stays unanswered leaves time for two more before the deadline', () => {
    fc.assert(
      fc.property(arbitrary.ttlSeconds, (ttl) => {
        const threeTriesMs = renewEveryMs(ttl) + 2 * answerLimitMs(ttl);
        expect(threeTriesMs).toBeLessThan(validUntilMs({ sentAtMs: 0, grantedTtlSeconds: ttl }, ttl * 100));
      }),
    );
  });

  test('C1: once each third of the TTL', () => {
    expect(renewEveryMs(9)).toBe(3_000);
  });
});
