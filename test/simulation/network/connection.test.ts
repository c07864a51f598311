/** How a connection treats packets that a fault holds: none gets past the fault, and none outlives its connection. */
import { beforeEach, expect, test } from 'vitest';
import { ModelTime } from '../differential/model-time.ts';
import { stream } from '../process/random.ts';
import { NetworkConnection } from './connection.ts';
import type { Endpoint } from './endpoint.ts';
import { Link } from './link.ts';
import { Trace } from './trace.ts';

/** Longer than a packet takes, and than TCP waits before a retransmission. */
const LONG_MS = 5_000;

let time: ModelTime;
let link: Link;
let arrived: string[];
let answers: number;
let connection: NetworkConnection;
let closed: () => void;

beforeEach(() => {
  time = new ModelTime();
  arrived = [];
  answers = 0;
  const endpoint: Endpoint = {
    name: 'etcd1',
    condition: 'up',
    unary: (method, _request, reply) => {
      arrived.push(method);
      reply(null, {});
    },
    stream: () => ({ write: () => undefined, cancel: () => undefined }),
  };
  link = new Link({ process: 'A', address: 'etcd1:2379', endpoint }, time, stream(1, 'link'));
  const ignored = (): void => undefined;
  closed = ignored;
  const to = { open: ignored, closed: () => closed(), message: () => void answers++, status: ignored };
  connection = new NetworkConnection(link, to, {
    time,
    trace: new Trace(),
    arrive: (run) => run(),
    processNowMs: time.now,
    ended: ignored,
    called: ignored,
  });
  time.runFor(LONG_MS);
});

test('the end of one fault does not remove another one on the same path', () => {
  link.block('up', 'down');
  link.block('up');
  connection.unary(1, 'put', {});
  link.unblock('up');
  time.runFor(LONG_MS);
  expect(arrived).toEqual([]);
  link.unblock('up', 'down');
  time.runFor(LONG_MS);
  expect(arrived).toEqual(['put']);
  expect(answers).toBe(1);
});

test('a TCP retransmission waits if the path is blocked again', () => {
  connection.unary(1, 'put', {});
  link.block('up'); // the packet is sent, but has not arrived
  time.runFor(LONG_MS);
  link.unblock('up');
  link.block('up');
  time.runFor(LONG_MS);
  expect(arrived).toEqual([]);
  link.unblock('up');
  time.runFor(LONG_MS);
  expect(arrived).toEqual(['put']);
});

test.each([
  ['', false],
  [' and its client had closed it', true],
])('a packet in transit is lost with its connection, also if the path was blocked%s', (_, isClosed) => {
  connection.unary(1, 'put', {});
  link.block('up', 'down');
  time.runFor(LONG_MS);
  if (isClosed) connection.close();
  link.reset();
  expect(link.connections).toBe(isClosed ? 0 : 1);
  link.unblock('up', 'down');
  time.runFor(LONG_MS);
  expect(arrived).toEqual([]);
  expect(link.connections).toBe(0);
});

test.each([
  ['arrives before the reset of its connection', false, 1],
  ['is lost if its server was replaced', true, 0],
])('an answer in transit %s', (_, isReplaced, expected) => {
  let isClosed = false;
  closed = () => (isClosed = true);
  connection.unary(1, 'put', {});
  while (arrived.length === 0) time.runFor(0.1);
  if (isReplaced) link.loseAnswers();
  link.reset();
  time.runFor(LONG_MS);
  expect(answers).toBe(expected);
  expect(isClosed).toBe(true);
});

test('a packet that was sent before a close arrives after it', () => {
  connection.unary(1, 'put', {});
  connection.close();
  expect(arrived).toEqual([]);
  time.runFor(LONG_MS);
  expect(arrived).toEqual(['put']);
  expect(link.connections).toBe(0);
});

test('the close of a connection does not overtake a packet that waits for its retransmission', () => {
  link.block('up');
  connection.unary(1, 'put', {});
  link.unblock('up'); // TCP sends it again after up to 1.5 s
  connection.close();
  while (link.connections > 0) time.runFor(1);
  expect(arrived).toEqual(['put']);
});
