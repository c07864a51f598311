/**
 * The measured process of one row: it does what a caller might do.
 * `node row.mjs <scenario> <hosts, with commas> <user:password, or nothing>`
 */
import diagnosticsChannel from 'node:diagnostics_channel';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { callsAfterTheEnd } from './scenarios/after-the-end.ts';
import { callbacks } from './scenarios/callbacks.ts';
import { stand } from './scenarios/caller.ts';
import { etcd3Calls } from './scenarios/etcd3.ts';
import { floods } from './scenarios/floods.ts';
import { loops } from './scenarios/loops.ts';
import { told, type Told } from './support/tell.ts';

/** Messages of this process, sent by itself or on request. */
export type Message =
  | { readonly type: 'loaded' }
  | { readonly type: 'leads'; readonly atMs: number }
  | { readonly type: 'lost'; readonly atMs: number }
  | { readonly type: 'tripped' }
  | {
      readonly type: 'report';
      readonly told: Told;
      readonly heapBytes: number;
      /** Timers, sockets and other resources that keep an event loop alive. */
      readonly resources: number;
    };

const [, , scenario = ''] = process.argv;
const scenarios: Record<string, () => unknown> = {
  ...loops,
  ...floods,
  ...callbacks,
  ...etcd3Calls,
  ...callsAfterTheEnd,
  stand: () => stand(),
};

const send = (message: Message): void => void process.send?.(message);

diagnosticsChannel.subscribe('etcd-election:term.started', () => send({ type: 'leads', atMs: Date.now() }));
diagnosticsChannel.subscribe('etcd-election:term.ended', () => send({ type: 'lost', atMs: Date.now() }));
diagnosticsChannel.subscribe('etcd-election:guard.tripped', () => send({ type: 'tripped' }));

process.on('disconnect', () => process.exit()); // the measuring process has ended
/** Twice, with a turn in between: the second collection frees what the first one finalizes. */
async function collectGarbage(): Promise<void> {
  const { gc } = globalThis as { gc?: () => void };
  gc?.();
  await nextTurn();
  gc?.();
}

/** The lowest of several readings: a call in flight keeps timers and streams while it takes. */
async function resourcesAtRest(): Promise<number> {
  const looks: number[] = [];
  for (let look = 0; look < 4; look++) {
    looks.push(process.getActiveResourcesInfo().length);
    await sleep(50, undefined, { ref: false });
  }
  return Math.min(...looks);
}

async function report(): Promise<void> {
  const resources = await resourcesAtRest();
  await collectGarbage();
  send({
    type: 'report',
    told: told(),
    heapBytes: process.memoryUsage().heapUsed,
    resources,
  });
}
process.on('message', () => void report());

const play = scenarios[scenario];
if (play === undefined) throw new Error(`no scenario "${scenario}"`);
send({ type: 'loaded' });
// One turn to send the message: the scenario may block all later turns.
setTimeout(() => void play(), 50);
