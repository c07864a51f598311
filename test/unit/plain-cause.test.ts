import { expect, test } from 'vitest';
import { plainCauseWithCertificate } from '../../src/core/plain-cause.ts';
import { etcdErrorOf } from '../../src/etcd/etcd-error.ts';

test.for([
  [
    'grant a lease: 9 FAILED_PRECONDITION: No connection established. Last error: null. Resolution note: ',
    'grant a lease: No connection established',
  ],
  [
    '14 UNAVAILABLE: No connection established. Last error: connect ECONNREFUSED 127.0.0.1:1 (2026-11-27T04:32:17.060Z). Resolution note: ',
    'connect ECONNREFUSED 127.0.0.1:1',
  ],
  [
    '14 UNAVAILABLE: No connection established. Last error: undefined. Resolution note: ',
    'the HTTP proxy set by http_proxy does not connect us',
  ],
  [
    'No connection established. Last error: Error: self-signed certificate (2026-11-27T04:32:17.060Z)',
    "self-signed certificate (etcd's certificate is not signed by an authority that we trust)",
  ],
  [
    'No connection established. Last error: Error: certificate has expired',
    "certificate has expired (etcd's own certificate has expired)",
  ],
  [
    'Deadline exceeded after 2.500s,waiting for name resolution',
    'no answer within 2.5 s, because its name is not resolved',
  ],
  [
    '40C7A2:error:0A000412:SSL routines:ssl3_read_bytes:sslv3 alert certificate expired:../deps/openssl/ssl/record/rec_layer_s3.c:1605:SSL alert number 45',
    'TLS: alert certificate expired (etcd rejects our client certificate, or requires one)',
  ],
] as const)('%s', ([said, plain]) => {
  expect(plainCauseWithCertificate(said)).toBe(plain);
});

test('an error of a call has the plain message, and the original error as its cause', () => {
  const details =
    'No connection established. Last error: Error: connect ECONNREFUSED 127.0.0.1:1. Resolution note: ';
  const error = new Error(`14 UNAVAILABLE: ${details}`);
  expect(etcdErrorOf('renew the lease', undefined, error)).toMatchObject({
    message: 'renew the lease: connect ECONNREFUSED 127.0.0.1:1',
    cause: error,
    mayHaveHappened: false,
  });
  expect(
    etcdErrorOf(
      'enter',
      { code: 3, details: 'Request message serialization failure: object expected' },
      error,
    ),
  ).toMatchObject({ kind: 'refused', mayHaveHappened: false });
});
