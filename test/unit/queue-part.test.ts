import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Candidacy } from '../../src/core/campaign-state.ts';
import { CandidateQueue, type QueuedCandidate } from '../../src/core/candidate-queue.ts';
import {
  FRONT,
  needsRead,
  leaderEveryMs,
  leaderSpreadMs,
  partOf,
  SHOWN,
  spreadMs,
} from '../../src/core/queue-part.ts';

const candidate = (token: number): QueuedCandidate => ({
  key: `k${token}`,
  value: `v${token}`,
  fencingToken: BigInt(token),
  leaseId: '1',
});

const candidacyOf = ({ key, fencingToken, leaseId }: QueuedCandidate): Candidacy => ({
  key,
  leaseId,
  createRevision: fencingToken,
});

/** etcd's answer to one read. */
function see(
  all: readonly QueuedCandidate[],
  own: QueuedCandidate,
  { leader, isFirst }: { leader?: QueuedCandidate; isFirst: boolean },
) {
  const ahead = all.filter(({ fencingToken }) => fencingToken < own.fencingToken);
  return {
    revision: 1_000n,
    total: all.length,
    own: all.find(({ key }) => key === own.key),
    leader: all.find(({ key }) => key === leader?.key),
    nearest: ahead.toReversed().slice(0, SHOWN),
    first: isFirst ? all.slice(0, SHOWN) : undefined,
  };
}

/** A queue as one candidate knows it, beside the whole one. */
class Rig {
  all: QueuedCandidate[];
  readonly own: QueuedCandidate;
  readonly queue = new CandidateQueue();
  ahead: ReturnType<typeof partOf>['ahead'];
  reads = 0;

  constructor(size: number, place: number) {
    this.all = Array.from({ length: size }, (_, index) => candidate(index + 1));
    this.own = this.all[place]!;
    this.queue.reset(this.all);
    this.read(true);
  }

  get candidacy(): Candidacy {
    return candidacyOf(this.own);
  }

  read(isFirst: boolean): void {
    this.reads++;
    const { leader } = this.queue;
    const seen = see(this.all, this.own, { ...(leader && { leader }), isFirst });
    const part = partOf(seen, this.candidacy, this.queue.olderThan(this.candidacy));
    this.queue.reset(part.candidates, part.gap);
    this.ahead = part.ahead;
  }

  /** A candidate leaves: we learn of it if we watch it. */
  leave(key: string): void {
    this.all = this.all.filter((one) => one.key !== key);
    const watched = [this.own.key, ...(this.ahead ?? []).map((one) => one.key), this.queue.leader?.key];
    if (this.ahead === undefined || watched.includes(key)) this.queue.apply({ type: 'delete', key });
  }

  get place(): number {
    return this.all.findIndex(({ key }) => key === this.own.key);
  }
}

describe('a part of a long queue', () => {
  test('S3: candidates leave in any order: we never count as first too early, and learn our place in time', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.array(fc.nat(), { maxLength: 80 }),
        fc.array(fc.boolean(), { minLength: 80, maxLength: 80 }),
        (size, goes, hasTime) => {
          const rig = new Rig(size, size - 1);
          goes.forEach((draw, step) => {
            const others = rig.all.filter(({ key }) => key !== rig.own.key);
            if (others.length === 0) return;
            rig.leave(others[draw % others.length]!.key);
            expect(rig.queue.olderThan(rig.candidacy)).toBeGreaterThanOrEqual(rig.place);
            if (rig.queue.leader !== undefined) expect(rig.queue.leader.key).toBe(rig.all[0]!.key);
            if (!hasTime[step]) return;
            if (needsRead(rig.queue, rig.candidacy, rig.ahead)) rig.read(rig.ahead === undefined);
            expect(needsRead(rig.queue, rig.candidacy, rig.ahead)).toBe(false);
            // While the position is an estimate, at least two are ahead of us, so no leader hands over to us.
            if (rig.queue.isEstimateFor(rig.candidacy)) expect(rig.place).toBeGreaterThanOrEqual(2);
            else expect(rig.queue.olderThan(rig.candidacy)).toBe(rig.place);
          });
        },
      ),
    );
  });

  test('L1: if candidates leave in order, each reads once more, and knows its exact place before its turn', () => {
    const rig = new Rig(40, 39);
    for (let place = 39; place > 0; place--) {
      rig.leave(rig.all[0]!.key);
      if (needsRead(rig.queue, rig.candidacy, rig.ahead)) rig.read(false);
      if (rig.place <= FRONT - 1) expect(rig.queue.olderThan(rig.candidacy)).toBe(rig.place);
    }
    expect(rig.reads).toBe(2);
    expect(rig.queue.leader?.key).toBe(rig.own.key);
  });

  test('a leader that knows no successor reads once, and reads again when the known successors have left', () => {
    const rig = new Rig(30, 0);
    rig.read(false);
    expect(rig.queue.firstOther(rig.own.key)).toBeUndefined();
    expect(needsRead(rig.queue, rig.candidacy, rig.ahead)).toBe(true);
    rig.read(true);
    const before = rig.reads;
    for (let gone = 0; gone < FRONT; gone++) {
      expect(rig.queue.firstOther(rig.own.key)?.key).toBe(rig.all[1]!.key);
      rig.leave(rig.all[1]!.key);
      if (needsRead(rig.queue, rig.candidacy, rig.ahead)) rig.read(true);
    }
    expect(rig.reads - before).toBe(1);
    expect(rig.queue.firstOther(rig.own.key)?.key).toBe(rig.all[1]!.key);
  });

  test('while older candidates are unknown, no later candidate counts as the next leader', () => {
    const rig = new Rig(30, 0);
    rig.read(false);
    rig.queue.apply({ type: 'put', candidate: candidate(2_000) });
    expect(rig.queue.firstOther(rig.own.key)).toBeUndefined();
  });

  test('L4: the leader is unknown after its key is deleted, even if other candidates are known', () => {
    const rig = new Rig(30, 29);
    expect(rig.queue.leader?.key).toBe('k1');
    rig.leave('k1');
    expect(rig.queue.leader).toBeUndefined();
    expect(rig.queue.isLeaderUnknown).toBe(true);
  });

  test('S4: our key is deleted or belongs to another candidacy: we are not in the queue', () => {
    const rig = new Rig(30, 29);
    rig.all = rig.all.filter(({ key }) => key !== rig.own.key);
    rig.read(false);
    expect(rig.queue.get(rig.own.key)).toBeUndefined();
  });

  test('C5: many readers take a few per cent of one etcd core, and each at most one read in 10 s', () => {
    for (const total of [10, 100, 1_000, 10_000]) {
      const scanMs = total * 0.0011;
      expect((total * scanMs) / leaderSpreadMs(total)).toBeCloseTo(0.03);
      expect((total * scanMs) / leaderEveryMs(total)).toBeLessThanOrEqual(0.0301);
      expect(leaderEveryMs(total)).toBeGreaterThanOrEqual(10_000);
      expect(spreadMs(total, total)).toBeLessThanOrEqual(30_000);
      expect(spreadMs(9, total)).toBeLessThan(100);
    }
  });
});
