/**
 * One candidate as a process: campaigns, acts while it leads, and records what it did. `LAB_CANDIDATE` holds a
 * {@link CandidatePlan}; its parent sends orders over the IPC channel.
 */
import { openSync, writeSync } from 'node:fs';
import { request } from 'node:http';
import { Etcd3, type Campaign } from 'etcd3';
import { Election, type Logger, type Term } from 'etcd-election';
import { hangUp, type Act } from './act.ts';
import type { CandidatePlan, News, Order } from './candidate-protocol.ts';
import { nanosToMs, type AppendOutcome } from './history.ts';

const STAMP_EVERY_MS = 4;
const TELL_EVERY_MS = 100;
const APPEND_EVERY_MS = 20;
const POST_EVERY_MS = 40;
/** As in its documentation, but sooner: the history shows what it does, not how long it waits. */
const ETCD3_AGAIN_MS = 500;

const plan = JSON.parse(process.env['LAB_CANDIDATE'] ?? '{}') as CandidatePlan;
const file = openSync(plan.historyFile, 'a');
const write = (line: string): void => void writeSync(file, `${line}\n`);
const tell = (news: News): void => {
  if (process.connected) process.send!(news, undefined, undefined, () => undefined);
};

const logFile = openSync(plan.logFile, 'a');
const logger = Object.fromEntries(
  (['trace', 'debug', 'info', 'warn', 'error'] as const).map((level) => [
    level,
    (_: object, message: string) => {
      if (level !== 'trace')
        writeSync(logFile, `${nanosToMs(process.hrtime.bigint()).toFixed(0)} ${level} ${message}\n`);
    },
  ]),
) as unknown as Logger;
const client = new Etcd3({
  hosts: [...plan.endpoints],
  ...(plan.auth !== undefined && { auth: plan.auth }),
});

/** The present period of leadership. */
let acting: Act | undefined;
let toldAtMs = 0;

/**
 * The time is read before the check. Otherwise a pause after the check would date the stamp later than what the
 * check proved.
 */
function stamp(): boolean {
  if (acting === undefined) return false;
  const at = process.hrtime.bigint();
  if (!acting.isCurrent()) return false;
  write(`S ${acting.token} ${at}`);
  const nowMs = Number(at / 1_000_000n);
  if (nowMs - toldAtMs >= TELL_EVERY_MS) {
    toldAtMs = nowMs;
    tell({ says: 'acting', token: acting.token.toString() });
  }
  return true;
}

let counter = plan.countsFrom ?? 0;
const nanos = (): bigint => process.hrtime.bigint();

async function append(
  to: 'etcd' | 'http' | 'list',
  act: Act,
  send: (counter: number) => Promise<AppendOutcome>,
) {
  const mine = ++counter;
  write(`I ${to} ${act.token} ${mine} ${nanos()}`);
  const outcome = await send(mine);
  const kind = outcome === 'acknowledged' ? 'A' : outcome === 'refused' ? 'R' : 'U';
  write(`${kind} ${to} ${act.token} ${mine} ${nanos()}`);
}

/** Acts until the term ends: writes stamps, appends to etcd, appends over HTTP. */
async function work(act: Act): Promise<void> {
  acting = act;
  stamp();
  const stamping = setInterval(stamp, STAMP_EVERY_MS);
  const every = async (ms: number, step: () => Promise<void>): Promise<void> => {
    while (!act.signal.aborted) {
      await step();
      await hangUp(ms, act.signal);
    }
  };
  await Promise.all([
    plan.list === undefined
      ? every(APPEND_EVERY_MS, () => append('etcd', act, (mine) => act.append(mine)))
      : every(1, () => append('list', act, (mine) => addToList(act, plan.list!, mine))),
    plan.resource === undefined
      ? undefined
      : every(POST_EVERY_MS, async () => {
          if (act.isCurrent()) await append('http', act, (mine) => post(plan.resource!, act, mine));
        }),
  ]);
  for (const untilMs = performance.now() + plan.stopsAfterMs; performance.now() < untilMs;) {
    write(`W ${act.token} ${process.hrtime.bigint()}`);
    await hangUp(STAMP_EVERY_MS);
  }
  clearInterval(stamping);
  if (acting === act) acting = undefined;
}

/** Sent once and never repeated, over a network without faults. */
function post(resource: string, act: Act, mine: number): Promise<AppendOutcome> {
  return new Promise((resolve) => {
    const query = new URLSearchParams({
      token: act.token.toString(),
      counter: String(mine),
      process: plan.name,
    });
    const sent = request(
      `${resource}/append?${query.toString()}`,
      { method: 'POST', agent: false, timeout: 5000 },
      (response) => {
        response.resume();
        resolve(response.statusCode === 200 ? 'acknowledged' : 'refused');
      },
    );
    sent.on('timeout', () => sent.destroy());
    sent.on('error', () => resolve('unknown'));
    sent.end();
  });
}

const LIST_TAKES_MS = 10;
/** Counted among the errors, to separate refusals by the check from refusals by the fence; see jepsen.ts. */
const REFUSED_BY_CHECK = 'NOT_CURRENT';

/** Reads the list, waits, and writes it back with one more element: the classic use of a lock. */
async function addToList(
  act: Act,
  { fenced, checked }: { fenced: boolean; checked: boolean },
  mine: number,
): Promise<AppendOutcome> {
  try {
    const items = (await (await fetch(`${plan.listAt}/list`)).json()) as string[];
    await hangUp(LIST_TAKES_MS * Math.random());
    if (checked && !act.isCurrent()) {
      write(`X ${REFUSED_BY_CHECK}`);
      return 'refused';
    }
    const query = fenced ? `?token=${act.token}` : '';
    const body = JSON.stringify([...items, `${plan.name}/${act.token}/${mine}`]);
    const answer = await fetch(`${plan.listAt}/list${query}`, { method: 'PUT', body });
    return answer.ok ? 'acknowledged' : 'refused';
  } catch {
    return 'unknown';
  }
}

const pad = (value: bigint | number): string => String(value).padStart(20, '0');

const SETTLE_TRIES = 10;
const SETTLE_EACH_MS = 500;

/** The work continues meanwhile. */
async function settleLater(term: Term, writeId: string, mine: number): Promise<void> {
  for (let tries = 0; tries < SETTLE_TRIES; tries++) {
    await hangUp(SETTLE_EACH_MS);
    try {
      const { happened } = await term.settle(writeId);
      return write(`${happened ? 'H' : 'R'} etcd ${term.fencingToken} ${mine} ${nanos()}`);
    } catch (error) {
      if ((error as { code?: string }).code !== 'ELECTION_UNAVAILABLE') return;
    }
  }
}

function termAsAct(term: Term): Act {
  const token = term.fencingToken;
  return {
    token,
    signal: term.signal,
    isCurrent: () => term.isCurrent(),
    async append(mine) {
      try {
        const entry = `${plan.logPrefix}log/${pad(token)}/${plan.name}/${pad(mine)}`;
        const write = term
          .txn({ exactlyOnce: plan.onceEach > 0 && mine % plan.onceEach === 0 })
          .then(
            client.put(entry).value('1'),
            client.put(`${plan.logPrefix}last`).value(`${token}/${plan.name}/${mine}`),
          )
          // Neither branch may run after the term.
          .else(client.put(`${plan.logPrefix}else/${pad(token)}/${plan.name}/${pad(mine)}`).value('1'));
        // Uses both shapes of a fenced transaction. This comparison always holds.
        if (mine % 2 === 0) write.and(entry, 'Create', '==', 0);
        return (await write.commit()).succeeded ? 'acknowledged' : 'refused';
      } catch (error) {
        const { code, writeId } = error as { code?: string; writeId?: string };
        write(`X ${code ?? (error as Error).name}`);
        if (writeId !== undefined) void settleLater(term, writeId, mine);
        return code === 'ELECTION_LEADERSHIP_LOST' || code === 'ELECTION_UNAVAILABLE' ? 'refused' : 'unknown';
      }
    },
  };
}

let election: Election | undefined;
let resigning: Promise<void> | undefined;

function standWithOurs(): void {
  election ??= new Election(client, plan.election, {
    ttlSeconds: plan.ttlSeconds,
    logger,
    onLeader: async (term) => {
      const { key, leaseId } = term;
      toldAtMs = 0; // its first stamp is reported
      write(`T ${term.fencingToken} ${nanos()}`);
      tell({ says: 'elected', token: term.fencingToken.toString(), key, leaseId });
      term.signal.addEventListener('abort', () => {
        const { reason } = term.signal.reason as { reason: string };
        write(`E ${term.fencingToken} ${reason}`);
        tell({ says: 'ended', token: term.fencingToken.toString(), reason });
      });
      await work(termAsAct(term));
    },
  });
  election.campaign(plan.name).catch((error: { code?: string }) => {
    write(`X ${error.code ?? 'Error'}`);
  });
}

/** As in its documentation: a new campaign after each error. */
function standWithEtcd3(): void {
  const theirs = client.election(plan.election, plan.ttlSeconds);
  const run = (): void => {
    let campaign: Campaign | undefined = theirs.campaign(plan.name);
    const over = new AbortController();
    const token = process.hrtime.bigint(); // it shows no fencing token
    campaign.on('elected', () => {
      toldAtMs = 0;
      tell({ says: 'elected', token: token.toString(), key: '', leaseId: '' });
      void work({
        token,
        signal: over.signal,
        isCurrent: () => !over.signal.aborted,
        append: async (mine) => {
          try {
            await client
              .if(`${plan.logPrefix}never`, 'Version', '==', 0)
              .then(
                client.put(`${plan.logPrefix}log/${pad(token)}/${plan.name}/${pad(mine)}`).value('1'),
                client.put(`${plan.logPrefix}last`).value(`${token}/${plan.name}/${mine}`),
              )
              .commit();
            return 'acknowledged';
          } catch {
            return 'unknown';
          }
        },
      });
    });
    campaign.on('error', () => {
      if (campaign === undefined) return;
      campaign = undefined;
      over.abort();
      write(`E ${token} error`);
      tell({ says: 'ended', token: token.toString(), reason: 'error' });
      setTimeout(run, ETCD3_AGAIN_MS);
    });
  };
  run();
}

process.on('message', (order: Order) => {
  switch (order.do) {
    case 'block': {
      const untilMs = performance.now() + order.forMs;
      // A loop that blocks the event loop and still acts. It checks the term before each act, as it should.
      for (let nextMs = 0; performance.now() < untilMs;) {
        if (performance.now() < nextMs) continue;
        stamp();
        nextMs = performance.now() + STAMP_EVERY_MS;
      }
      stamp();
      return;
    }
    case 'litter': {
      const untilMs = performance.now() + order.forMs;
      const heap: object[][] = [];
      const litter = (): void => {
        heap.push(Array.from({ length: 100_000 }, (_, index) => ({ index, text: `litter ${index}` })));
        if (heap.length > 12) heap.splice(0, 6);
        if (performance.now() < untilMs) setImmediate(litter);
      };
      litter();
      return;
    }
    case 'step-down':
      void election?.stepDown();
      return;
    case 'resign':
      resigning = (election?.resign() ?? Promise.resolve()).then(() => tell({ says: 'left' }));
      return;
    case 'campaign':
      void (resigning ?? Promise.resolve()).then(standWithOurs);
      return;
    case 'report':
      tell({
        says: 'report',
        status: election?.status.state ?? 'none',
        position: election?.status.position,
        memoryMb: process.memoryUsage().rss / 1e6,
        wallMs: Date.now(),
      });
  }
});
process.on('disconnect', () => process.exit(0)); // the parent has died

if (plan.kind === 'ours') standWithOurs();
else standWithEtcd3();
