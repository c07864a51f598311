import { expect, test, vi } from 'vitest';
import { EtcdError } from '../../src/etcd/etcd-error.ts';
import type { CallLimits, EtcdTransport } from '../../src/etcd/transport.ts';
import { WriteSlots, type UnsettledError } from '../../src/term/write-slots.ts';
import type { FakeClock } from '../support/fake-clock.ts';

const { fake } = await vi.hoisted(async () => {
  const { FakeClock: Fake } = await import('../support/fake-clock.ts');
  return { fake: new Fake() };
});
vi.mock('../../src/util/clock.ts', async (original) => ({ ...(await original<object>()), clock: fake }));

const TXN = { call: 'term.put()', txn: { compare: [], success: [], failure: [] }, options: undefined };

const lease = { leaseId: '7', isValid: () => true };

/** Writes once, in a slot of our candidate. */
const writeIn = (slots: WriteSlots): Promise<unknown> =>
  slots.commit({ key: 'election/e/7', leaseId: '7', createRevision: 1n }, TXN, {
    sending: new AbortController().signal,
    settling: new AbortController().signal,
  });

test('S1: the outcome of a write is settled in the lane `settle`, which may connect again; the lane of the write may not', async () => {
  const lanes: unknown[] = [];
  const transport = {
    unary(_what: string, _invoke: unknown, { lane }: CallLimits) {
      lanes.push(lane);
      return lanes.length === 1
        ? Promise.reject(new EtcdError('unavailable', 'no answer', true))
        : Promise.resolve({ succeeded: true, header: { revision: '9' } });
    },
  } as unknown as EtcdTransport;
  const outcome = writeIn(new WriteSlots(transport, lease));
  await expect(outcome, 'the write has not arrived').rejects.toMatchObject({ mayHaveHappened: false });
  expect(lanes).toEqual(['caller', 'settle']);
});

test('a slot that is not as we saw it last: nothing was written, and the error says what to do', async () => {
  const kv = { mod_revision: '8', create_revision: '1', value: Buffer.from('') };
  const seen = { response_range: { kvs: [kv] } };
  const transport = {
    unary: () => Promise.resolve({ succeeded: false, header: { revision: '9' }, responses: [seen, seen] }),
  } as unknown as EtcdTransport;
  await expect(writeIn(new WriteSlots(transport, lease))).rejects.toMatchObject({
    mayHaveHappened: false,
    message: expect.stringMatching(
      /record of exactlyOnce writes, has changed meanwhile: send the write again$/,
    ),
  });
});

test('S1: settle() rejects in time while other writes hold the slot and cannot settle it', async () => {
  const clock: FakeClock = fake;
  let settling = 0;
  const transport = {
    unary(what: string) {
      const isSettling = what.startsWith('settle');
      // The first write loses its answer and cannot be settled. The next writes get no answer at all.
      if (isSettling ? settling++ > 13 : settling > 0) return new Promise(() => undefined);
      return Promise.reject(new EtcdError('unavailable', 'no answer', true));
    },
  } as unknown as EtcdTransport;
  const slots = new WriteSlots(transport, lease);
  const write = (): Promise<unknown> => writeIn(slots);
  const lost = write().catch((error: unknown) => error as UnsettledError);
  await clock.advance(5_000);
  const { writeId } = (await lost) as UnsettledError;
  expect(writeId).toBeTypeOf('string');
  settling = 100;
  for (let count = 0; count < 8; count++) void write(); // seven take their own slots, the last takes that of the lost write
  const settled = slots.settle(writeId).then(
    () => 'settled',
    (error: EtcdError) => error.kind,
  );
  await clock.advance(5_000);
  await expect(Promise.race([settled, clock.sleep(0)])).resolves.toBe('unavailable');
});

test('S1: after the deadline the mark "never" in a new slot is no proof: the lease may have expired and come back', async () => {
  let isValid = true;
  const revisions = [0, 9, 10, 0, 12]; // the first write is settled, and then the second
  let call = 0;
  const transport = {
    unary: () =>
      revisions[call++] === 0
        ? Promise.reject(new EtcdError('unavailable', 'no answer', true))
        : Promise.resolve({
            succeeded: true,
            header: { revision: String(revisions[call - 1]) },
            responses: [],
          }),
  } as unknown as EtcdTransport;
  const late = new WriteSlots(transport, { leaseId: '7', isValid: () => isValid });
  isValid = false;
  await expect(writeIn(late), 'the first write of the slot').rejects.toMatchObject({ mayHaveHappened: true });
  await writeIn(late);
  await expect(writeIn(late), 'the slot stands').rejects.toMatchObject({ mayHaveHappened: false });
});
