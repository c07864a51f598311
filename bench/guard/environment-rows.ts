/** The rows in which callbacks, etcd, operators or etcd3 cause the loop. */
import * as faults from './faults.ts';
import type { Fault } from './faults.ts';
import type { Row } from './bounds.ts';

const callbacks = (names: readonly string[]): Row[] => names.map((name) => ({ group: 'callbacks', name }));

const standing = (name: string, fault: Fault, more: Partial<Row> = {}): Row => ({
  group: 'etcd',
  name,
  scenario: 'stand',
  fault,
  leadsFirst: true,
  origin: 'environment',
  ...more,
});

export const callbackRows: readonly Row[] = [
  ...callbacks([
    'onLeader throws',
    'onLeader rejects',
    'onLeader returns at once',
    'onLeader never settles',
    'onLeader resigns, onFollower campaigns',
    'onLeader steps down',
    'onLeader campaigns again',
    'onLeader closes, and a new one stands',
    'a logger that throws',
    'a listener that throws',
  ]),
  { group: 'callbacks', name: 'onFollower campaigns', fault: faults.foreignLeader, origin: 'environment' },
  { group: 'callbacks', name: 'onFollower throws', fault: faults.foreignLeader, origin: 'environment' },
  {
    ...standing('key deleted each 200 ms, onLeader never settles', faults.keyDeleted),
    group: 'callbacks',
    scenario: 'onLeader never settles',
    origin: 'caller',
  },
];

export const environmentRows: readonly Row[] = [
  standing('refused', faults.refused),
  standing('reset on accept', faults.resetOnAccept),
  standing('accepts and says nothing', faults.silent),
  standing('dies and comes back each second', faults.flapping),
  standing('no quorum', faults.noQuorum, { stage: { members: 3 } }),
  standing('NOSPACE alarm', faults.noSpace, { stage: { extraArgs: ['--quota-backend-bytes=4194304'] } }),
  {
    group: 'etcd',
    name: 'wrong password, in a loop',
    scenario: 'loop, swallowing',
    warmUpMs: 40_000, // until then the loop may write a burst of 16 lines, because etcd is the cause
    fault: faults.wrongPassword(),
    credentials: 'matrix:wrong',
    origin: 'caller',
  },
  {
    group: 'etcd',
    name: 'permission denied, in a loop',
    scenario: 'loop, swallowing',
    fault: faults.permissionDenied(),
    credentials: 'matrix:right',
    origin: 'caller',
  },
  standing('tokens expire each second', faults.tokensExpire(), { credentials: 'matrix:right' }),
  standing('TLS mismatch', faults.tlsMismatch, {
    leadsFirst: false,
    except: {
      cpuPercent: 4,
      why: 'Each dial loads the built-in root certificates. On a bare etcd3 client such a dial costs five times as much as one without TLS.',
    },
  }),
  standing('name not resolvable', faults.noSuchName, { leadsFirst: false }),
  standing('one of three frozen', faults.frozenMember(), { stage: { members: 3 } }),
  standing('slow, 2 s an answer', faults.slow),
  standing('too many requests', faults.tooManyRequests()),
  standing('refused, in the loop', faults.refused, { scenario: 'loop, swallowing', origin: 'caller' }),
  standing('key deleted each 200 ms', faults.keyDeleted, { group: 'operators' }),
  standing('lease revoked each 200 ms', faults.leaseRevoked, {
    group: 'operators',
    except: {
      callsPerSecond: 2.5,
      why: 'Every lost lease costs five calls: the check that the host belongs to our cluster, a grant, an entry, a watch and a delete.',
    },
  }),
  standing('compaction each second', faults.compaction, { group: 'operators' }),
  standing('key deleted each 200 ms among 1,000 foreign keys', faults.fullPrefix, {
    group: 'operators',
    except: {
      cpuPercent: 2,
      why: 'Each entry reads the queue: a thousand keys every 2.4 s. That cost the bare client 0.5 to 0.8 %, and this library 0.9 to 1.6 %, in five runs.',
    },
  }),
  standing('foreign keys, ten a second', faults.foreignKeys(100), { group: 'operators' }),
  standing('foreign keys, fifty a second', faults.foreignKeys(20), {
    group: 'operators',
    except: {
      cpuPercent: 4,
      why: 'etcd sends us each write under the prefix. Fifty a second cost the bare client 2.0 to 2.7 %, and this library 0.1 to 0.2 percentage points more.',
    },
  }),
  {
    group: 'etcd3',
    name: "the user's fixed deadlines open the breaker",
    scenario: "the user's calls keep the breaker open",
    userCalls: ['Range'],
  },
  standing("refused, the user's calls open the breaker", faults.refused, {
    group: 'etcd3',
    scenario: "the user's calls fail too",
    userCalls: ['Range'],
    except: {
      dialsPerSecond: 1.6,
      why: "The user's own client dials the endpoint too.",
    },
  }),
  { group: 'etcd3', name: 'client closed under us', origin: 'caller' },
];
