import { readFileSync } from 'node:fs';
import {
  AlreadyStandingError,
  ElectionClosedError,
  ElectionError,
  InvalidInputError,
  LeadershipLostError,
  OutcomeUnknownError,
  RefusedError,
  RunawayLoopError,
  UnavailableError,
  type ElectionErrorCode,
} from 'etcd-election';
import { describe, expect, test } from 'vitest';
import { EtcdError, etcdErrorOf, type EtcdErrorKind, type GrpcStatus } from '../../src/etcd/etcd-error.ts';

const cause = new Error('cause');

/** One error per code; the compiler requires every code. */
const errors: Record<ElectionErrorCode, { error: ElectionError; retryable: boolean; name: string }> = {
  ELECTION_INVALID_INPUT: {
    error: new InvalidInputError('e', 'm', { cause }),
    retryable: false,
    name: 'InvalidInputError',
  },
  ELECTION_ALREADY_STANDING: {
    error: new AlreadyStandingError('e', 'm', { cause }),
    retryable: false,
    name: 'AlreadyStandingError',
  },
  ELECTION_CLOSED: {
    error: new ElectionClosedError('e', 'm', { cause }),
    retryable: false,
    name: 'ElectionClosedError',
  },
  ELECTION_LEADERSHIP_LOST: {
    error: new LeadershipLostError({ election: 'e', fencingToken: 2n ** 60n, reason: 'evicted' }, { cause }),
    retryable: false,
    name: 'LeadershipLostError',
  },
  ELECTION_REFUSED: { error: new RefusedError('e', 'm', { cause }), retryable: false, name: 'RefusedError' },
  ELECTION_UNAVAILABLE: {
    error: new UnavailableError('e', 'm', { cause }),
    retryable: true,
    name: 'UnavailableError',
  },
  ELECTION_OUTCOME_UNKNOWN: {
    error: new OutcomeUnknownError('e', 'm', { cause }),
    retryable: false,
    name: 'OutcomeUnknownError',
  },
  ELECTION_RUNAWAY: { error: new RunawayLoopError('e', 1_001), retryable: false, name: 'RunawayLoopError' },
};

describe('errors', () => {
  test.for(Object.entries(errors))('%s', ([code, { error, retryable, name }]) => {
    expect(error).toBeInstanceOf(ElectionError);
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ code, retryable, name, election: 'e' });
    expect(String(error)).toMatch(new RegExp(`^${name}: .`));
    if (!(error instanceof RunawayLoopError)) expect(error.cause).toBe(cause);
    expect(error.message).toMatch(new RegExp(`.; see docs/errors\\.md#${code.toLowerCase()}$`));
  });

  test('docs/errors.md has one section for every code, and no other', () => {
    const page = readFileSync('docs/errors.md', 'utf8');
    const sections = page.split(/^## /m).slice(1);
    expect(sections.map((section) => /^.*/.exec(section)![0])).toEqual(Object.keys(errors));
    for (const section of sections) {
      expect(section).toContain('\n**What happened.** ');
      expect(section).toContain('\n**What to do.** ');
    }
    const sorts = sections.map((section) => {
      const [, name, retryable] = /^`(\w+)` · `retryable: (true|false)`$/m.exec(section) ?? [];
      return { name, retryable: retryable === 'true' };
    });
    expect(sorts).toEqual(Object.values(errors).map(({ name, retryable }) => ({ name, retryable })));
  });

  test('S1: the loss of leadership names the election, the token to its last digit, and the cause', () => {
    const { error } = errors.ELECTION_LEADERSHIP_LOST;
    expect(error).toMatchObject({ fencingToken: 1152921504606846976n, reason: 'evicted' });
    expect(error.message).toBe(
      'no longer leader of "e" (fencing token 1152921504606846976): evicted; see docs/errors.md#election_leadership_lost',
    );
  });

  test('G4: a runaway loop gets advice', () => {
    const { error } = errors.ELECTION_RUNAWAY;
    expect(error).toMatchObject({ calls: 1_001 });
    expect(error.message).toContain('"e"');
    expect(error.message).toContain('Call campaign() once');
  });
});

describe('errors of etcd, the network and etcd3, classified', () => {
  interface Case {
    readonly kind: EtcdErrorKind;
    readonly status?: GrpcStatus;
    readonly message?: string;
    readonly mayHaveHappened?: boolean;
  }
  const cases: readonly Case[] = [
    { kind: 'unavailable', status: { code: 14, details: 'Connection dropped' }, mayHaveHappened: true },
    { kind: 'unavailable', status: { code: 4, details: 'Deadline exceeded' }, mayHaveHappened: true },
    {
      kind: 'unavailable',
      status: { code: 2, details: 'etcdserver: too many requests' },
      mayHaveHappened: false,
    },
    { kind: 'unavailable', status: { code: 8, details: 'etcdserver: mvcc: database space exceeded' } },
    {
      kind: 'unavailable',
      status: { code: 14, details: 'etcdserver: request timed out' },
      mayHaveHappened: true,
    },
    {
      kind: 'unavailable',
      status: { code: 14, details: 'etcdserver: leader changed' },
      mayHaveHappened: false,
    },
    {
      kind: 'unavailable',
      message: 'Execution prevented because the circuit breaker is open',
      mayHaveHappened: false,
    },
    {
      kind: 'unavailable',
      status: { code: 16, details: 'etcdserver: invalid auth token' },
      mayHaveHappened: false,
    },
    {
      kind: 'refused',
      status: { code: 3, details: 'etcdserver: authentication failed, invalid user ID or password' },
    },
    { kind: 'refused', status: { code: 7, details: 'etcdserver: permission denied' } },
    { kind: 'refused', status: { code: 3, details: 'etcdserver: user name is empty' } },
    { kind: 'refused', message: 'GRPCError: 7 PERMISSION_DENIED: etcdserver: permission denied' },
    // What a gateway, a proxy or a server other than etcd answers is an outage, whatever its code.
    ...[3, 5, 7, 12, 13, 16].map((code): Case => ({
      kind: 'unavailable',
      status: { code, details: 'Received HTTP status code 4xx' },
      mayHaveHappened: true,
    })),
    { kind: 'unavailable', status: { code: 12, details: 'unknown service etcdserverpb.KV' } },
    { kind: 'unavailable', status: { code: 7, details: 'permission denied' } },
    {
      kind: 'unavailable',
      status: { code: 14, details: 'etcdserver: rpc not supported for learner' },
      mayHaveHappened: false,
    },
    { kind: 'unavailable', status: { code: 2, details: 'raft proposal dropped' }, mayHaveHappened: false },
    {
      kind: 'unavailable',
      status: { code: 14, details: 'etcdserver: server stopped' },
      mayHaveHappened: true,
    },
    {
      kind: 'unavailable',
      status: { code: 15, details: 'etcdserver: corrupt cluster' },
      mayHaveHappened: false,
    },
    {
      kind: 'unavailable',
      status: { code: 14, details: 'Stream refused by server' },
      mayHaveHappened: false,
    },
    {
      kind: 'refused',
      status: { code: 8, details: 'grpc: received message larger than max (2 vs. 1)' },
      mayHaveHappened: false,
    },
    { kind: 'lease-gone', status: { code: 5, details: 'etcdserver: requested lease not found' } },
    { kind: 'lease-exists', status: { code: 9, details: 'etcdserver: lease already exists' } },
    {
      kind: 'compacted',
      status: { code: 11, details: 'etcdserver: mvcc: required revision has been compacted' },
    },
    { kind: 'client-closed', message: 'Tried to call a gRPC method, but the client was already closed' },
  ];
  test.for(cases)('$kind: $status.details$message', ({ kind, status, message, mayHaveHappened }) => {
    const fault = etcdErrorOf('try it', status, new Error(message ?? 'grpc'));
    expect(fault.kind).toBe(kind);
    expect(`try it: ${status?.details ?? message}`).toContain(fault.message.slice('try it: '.length));
    if (mayHaveHappened !== undefined) expect(fault.mayHaveHappened).toBe(mayHaveHappened);
    // If etcd's status is known, etcd3's error says less: it shows the status that we give etcd3 instead.
    if (status === undefined) expect(fault.cause).toBeInstanceOf(Error);
    else expect(fault.cause).toBeUndefined();
  });

  test('a status without a text is named by its code', () => {
    const fault = etcdErrorOf('grant a lease', { code: 14, details: '' }, new Error('grpc'));
    expect(fault.message).toBe('grant a lease: gRPC status UNAVAILABLE without a text');
  });

  test('a classified error stays unchanged', () => {
    const fault = new EtcdError('aborted', 'm', false);
    expect(etcdErrorOf('again', undefined, fault)).toBe(fault);
  });
});
