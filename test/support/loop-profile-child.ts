/**
 * Spins in a function that `handler` calls, while a worker profiles the thread. The argument says how many times. Prints
 * for each profile the share of the samples in `guilty`.
 */
import { writeSync } from 'node:fs';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { recordMain } from '../../src/diagnostics/profile/record-main.ts';

interface Link {
  next?: Link;
}

/** Becomes 1 when the loop begins. */
const begun = new Int32Array(isMainThread ? new SharedArrayBuffer(4) : (workerData as Job).shared);

interface Job {
  readonly times: number;
  readonly shared: SharedArrayBuffer;
}

function guilty(first: Link): void {
  for (let link: Link | undefined = first; link !== undefined; link = link.next);
}

function spin(): void {
  const last = {} as Link;
  const first = { next: { next: { next: last } } };
  last.next = first;
  setTimeout(function handler() {
    Atomics.store(begun, 0, 1);
    Atomics.notify(begun, 0);
    guilty(first);
  });
}

async function record(times: number): Promise<void> {
  Atomics.wait(begun, 0, 0);
  for (let i = 0; i < times; i++) {
    const access = { deoptimise: true, whyNoProfile: undefined };
    const { profile } = await recordMain(access, { durationMs: 300 });
    const named = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame.functionName]));
    const samples = profile.samples ?? [];
    const share = samples.filter((id) => named.get(id) === 'guilty').length / samples.length;
    writeSync(1, `guilty: ${Math.round(share * 100)} %\n`); // console.log needs the main thread, which spins
  }
  process.kill(process.pid, 'SIGKILL');
}

if (isMainThread) {
  const times = Number(process.argv[2]);
  new Worker(new URL(import.meta.url), { workerData: { times, shared: begun.buffer } }).once('online', spin);
} else await record((workerData as Job).times);
