import { OutcomeUnknownError, RefusedError } from 'etcd-election';
import { describe, expect } from 'vitest';
import { test } from '../support/world.ts';

// An answer above gRPC's limit (4 MB by default) counted as an outage. A read failed again and again, with an error that said to
// try later. The error of a committed write said that the write might still happen.

const OPTIONS = { grpcOptions: { 'grpc.max_receive_message_length': 16_384 } };
const JOBS = 5;
const JOB = 'x'.repeat(4_096);

describe('an answer that is too large for the client', () => {
  test('a read is refused, with advice', async ({ world, client, candidate, prefix }) => {
    for (let job = 0; job < JOBS; job++) await world.own.put(`${prefix}jobs/${job}`).value(JOB);
    const alice = candidate('alice', { client: client(OPTIONS) });
    const term = await alice.campaign();
    const read = world.own.getAll().prefix(`${prefix}jobs/`);
    for (const txn of [term.txn(), term.txn().and(`${prefix}none`, 'Version', '==', 0)]) {
      const error = await txn
        .then(read)
        .commit()
        .catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(RefusedError);
      expect(error).toMatchObject({
        retryable: false,
        message: expect.stringContaining('limit()') as string,
      });
    }
    expect(term.isCurrent()).toBe(true);
    expect(alice.election.health()).toMatchObject({ healthy: true });
    const { responses } = await term.txn().then(read.limit(2)).commit();
    expect(responses[0]!.response_range.kvs).toHaveLength(2);
  });

  test('S1: the error of a write says that etcd has committed it', async ({
    world,
    client,
    candidate,
    prefix,
  }) => {
    for (let job = 0; job < JOBS; job++) await world.own.put(`${prefix}jobs/${job}`).value(JOB);
    const term = await candidate('alice', { client: client(OPTIONS) }).campaign();
    const write = (options: { exactlyOnce: boolean }) =>
      term
        .txn(options)
        .then(world.own.put(`${prefix}seen`).value('1'), world.own.getAll().prefix(`${prefix}jobs/`))
        .commit();
    const error = await write({ exactlyOnce: false }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    expect((error as Error).message).toContain('was committed');
    expect((error as Error).message).not.toContain('may still happen');
    expect(await world.own.get(`${prefix}seen`).string()).toBe('1');
    expect(await write({ exactlyOnce: true })).toMatchObject({ succeeded: true, responses: [] });
  });
});
