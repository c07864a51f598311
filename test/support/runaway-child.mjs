/**
 * A service that runs away, for the watchdog's tests: `node runaway-child.mjs <kind> <watchdog options as
 * JSON>`. DIAGNOSTICS holds the address of the built module. Each guilty line has a comment by which the tests
 * find it. Every loop ends after a minute by itself.
 */
import { EventEmitter, once } from 'node:events';
import { channel, subscribe } from 'node:diagnostics_channel';
import { connect, createServer } from 'node:net';
import { Agent, createServer as createHttpServer, get } from 'node:http';
import { setImmediate as turn } from 'node:timers/promises';
import { MessageChannel, Worker } from 'node:worker_threads';
import { honestWorkloads } from './honest-workloads.mjs';

const { DIAGNOSTICS } = process.env;
const [kind, options] = process.argv.slice(2);
const { startWatchdog, serveDiagnostics } = await import(DIAGNOSTICS);
const { serve, fake, newTerm, honestForMs = 1_000, blockMs = 4_000, ...watch } = JSON.parse(options);
const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

const until = Date.now() + 60_000;
/** The clock is read only sometimes: a read in each round would dominate the profile. */
let rounds = 0;
const on = () => (++rounds & 0xfff) !== 0 || Date.now() < until;

function burn() {
  let sum = 0;
  for (let i = 0; i < 2_000; i++) sum += Math.sqrt(i);
  return sum;
}

function stay() {
  setTimeout(() => {}, until - Date.now());
}

/** A block that ends by itself. */
function blockFor(ms) {
  const end = Date.now() + ms;
  while (Date.now() < end) burn();
  say({ done: 'block' });
  stay();
}

const cached = async () => 'cached';

async function* messages() {
  while (on()) yield cached();
}

/** Functions that call each other at random: every sample has a new stack. */
function manyStacks(depth) {
  const functions = Array.from({ length: 400 }, (_, i) =>
    new Function('next', `return function f${i}(depth) { return next(depth) + 1; }`)(next),
  );
  function next(left) {
    return left === 0 ? burn() : functions[Math.floor(Math.random() * functions.length)](left - 1);
  }
  next(depth);
}

const kinds = {
  sync: function guiltySync() {
    while (on()) burn(); // guilty: sync
  },
  microtask: async function guiltyMicrotask() {
    while (on()) await cached(); // guilty: microtask
  },
  nextTick: function guiltyTick() {
    if (on()) process.nextTick(guiltyTick); // guilty: nextTick
  },
  emitter: function guiltyEmitter() {
    const emitter = new EventEmitter();
    emitter.on('ping', function guiltyPing() {
      if (on()) queueMicrotask(() => emitter.emit('ping')); // guilty: emitter
    });
    emitter.emit('ping');
  },
  flood: function guiltyFlood() {
    while (on()) void cached().catch(() => {}); // guilty: flood
  },
  regex: function guiltyRegex() {
    return /^(a+)+$/.test(`${'a'.repeat(40)}b`); // guilty: regex
  },
  asyncIo: function guiltyIo() {
    const echo = createServer((socket) => socket.pipe(socket)).listen(
      0,
      '127.0.0.1',
      async function guiltyEcho() {
        const socket = connect(echo.address().port, '127.0.0.1');
        while (on()) {
          socket.write('x'); // guilty: asyncIo
          await once(socket, 'data');
        }
      },
    );
  },
  immediate: function guiltyImmediate() {
    burn();
    if (on()) setImmediate(guiltyImmediate); // guilty: immediate
  },
  reconnect: function guiltyReconnect() {
    const refusing = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1', () => {
      const { port } = refusing.address();
      (function guiltyDial() {
        if (on()) connect(port, '127.0.0.1').on('close', guiltyDial).resume(); // guilty: reconnect
      })();
    });
  },
  promises: function guiltyChain() {
    void cached().then(() => on() && guiltyChain()); // guilty: promises
  },
  iterator: async function guiltyIterator() {
    for await (const _message of messages()) burn(); // guilty: iterator
  },
  retry: async function guiltyRetry() {
    while (on()) {
      try {
        await Promise.reject(new Error('the breaker is open')); // guilty: retry
      } catch {}
    }
  },
  turns: async function guiltyTurns() {
    while (on()) await turn(burn()); // guilty: turns
  },
  ports: function guiltyPorts() {
    const { port1, port2 } = new MessageChannel();
    port2.on('message', () => port2.postMessage('pong'));
    port1.on('message', function guiltyPingPong() {
      burn();
      if (on()) port1.postMessage('ping'); // guilty: ports
    });
    port1.postMessage('ping');
  },
  http: function guiltyHttp() {
    const agent = new Agent({ keepAlive: true });
    const server = createHttpServer((_request, response) => response.end()).listen(0, '127.0.0.1', () => {
      (function guiltyGet() {
        burn();
        if (on()) get({ agent, port: server.address().port }, (r) => r.resume().on('end', guiltyGet)); // guilty: http
      })();
    });
  },
  ...honestWorkloads(honestForMs),
  /** Reports a tripped loop guard, as the library does. */
  tripped() {
    const trip = { type: 'guard.tripped', election: 'sync-master' };
    // The first report is not a runaway: etcd is the cause.
    channel('etcd-election:guard.tripped').publish({ ...trip, election: 'other', origin: 'environment' });
    channel('etcd-election:guard.tripped').publish({ ...trip, origin: 'caller' });
    stay();
  },
  /** Serves requests with stacks of a hundred frames, for half a minute. */
  stacks() {
    const serving = setInterval(() => {
      for (const end = Date.now() + 45; Date.now() < end;) manyStacks(100);
    }, 50);
    setTimeout(() => clearInterval(serving), 30_000);
  },
  /** Makes the worker die. */
  async workerDies() {
    let worker;
    const { postMessage } = Worker.prototype;
    Worker.prototype.postMessage = function (...message) {
      worker = this;
      return postMessage.apply(this, message);
    };
    channel('etcd-election:term.started').publish({}); // so that the worker gets a message
    while (worker === undefined) await turn();
    Worker.prototype.postMessage = postMessage;
    await worker.terminate();
    stay();
  },
  /** Closes everything twice, and reports what remains. */
  async close() {
    await Promise.all([server.close(), watchdog.close()]);
    await watchdog.close();
    const left = process.getActiveResourcesInfo().filter((each) => !/Pipe|TTY/.test(each)); // our own stdio
    const heard = ['guard.tripped', 'term.started'].filter(
      (type) => channel(`etcd-election:${type}`).hasSubscribers,
    );
    say({ done: [...left, ...heard].join() });
    startWatchdog().close(); // and it can start again
  },
  /** Has nothing more to do, so the process ends. */
  exit() {},
  // These do not run away, and stay for a while.
  idle: stay,
  timer: function busyTimer() {
    setTimeout(busyTimer, 0);
  },
  block: () => blockFor(1_500),
  longBlock: () => blockFor(blockMs),
  async sleepSync() {
    const { execFileSync } = await import('node:child_process');
    execFileSync('sleep', ['3']);
    say({ done: 'sleepSync' });
    stay();
  },
  /** Makes and drops many objects, so that major collections take long. The event loop still turns. */
  async collect() {
    const { setImmediate: turn } = await import('node:timers/promises');
    const kept = [];
    for (const end = Date.now() + 5_000; Date.now() < end;) {
      for (let i = 0; i < 60_000; i++) kept.push({ i, text: `#${i}` });
      if (kept.length > 3_000_000) {
        kept.length = 0;
        globalThis.gc?.();
      }
      await turn();
    }
    say({ done: 'collect' });
    stay();
  },
};

const elections = fake && {
  elections: () => [fakeElection],
  guards: () => [fakeGuard],
};
const fakeElection = {
  name: 'sync-master',
  status: {
    election: 'sync-master',
    state: 'leading',
    term: { fencingToken: 7n, value: '10.0.0.7', leaseId: '1', remainingMs: () => 4_000 },
    leader: { fencingToken: 7n, value: '10.0.0.7', key: 'election/sync-master/1', leaseId: '1' },
    position: 1,
    guard: { state: 'tripped', streak: 9, rounds: 9, heldForMs: 0 },
    prefix: 'election/',
    clusterId: '14841639068965178418',
  },
  health: () => ({ healthy: true, leading: true, standing: true, working: true, reason: undefined }),
  stepDown: async () => say({ steppedDown: 'sync-master' }),
};
/** A new term begins between the watchdog's finding and its reaction. */
if (newTerm) {
  subscribe('etcd-election:runaway', () => (fakeElection.status.term.fencingToken = 8n));
}
for (const name of ['died', 'restarted'])
  subscribe(`etcd-election:watchdog.${name}`, (message) => say({ [name]: message }));
const fakeGuard = {
  key: '127.0.0.1:2379|election/|sync-master',
  election: 'sync-master',
  rounds: 9,
  holds: 4,
  heldMs: 3_210,
  callSites: [
    { stack: ['startService (file:///srv/main.mjs:3:5)'], rounds: 1, heldMs: 0 },
    {
      stack: ['newLeasesLock (file:///srv/sync.mjs:7:5)', 'retryLoop (file:///srv/sync.mjs:12:3)'],
      rounds: 8,
      heldMs: 3_210,
    },
  ],
};

const watchdog = startWatchdog({
  ...watch,
  ...(elections && { elections }),
  onRunaway: (report) => say({ runaway: report }),
  onNotice: (report) => say({ notice: report }),
});
await watchdog.ready();
const server =
  serve &&
  (await serveDiagnostics({ port: 0, ...serve, ...(serve.metrics && { metrics: () => 'mine 1\n' }) }));
say({ ready: true, url: server?.url, notes: watchdog.notes, pid: process.pid });

// Begins on request, so that the test knows the moment; or at once.
process.stdin.once('data', () => {
  process.stdin.destroy();
  say({ began: Date.now() });
  setTimeout(async () => {
    await kinds[kind]();
    if (kind in honestWorkloads(0)) say({ done: kind });
  }, 10);
});
