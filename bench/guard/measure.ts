/** Measures one row: starts its process, causes the fault, counts, and removes the fault. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Message } from './row.ts';
import type { Row } from './bounds.ts';
import { setStage, type Stage } from './stage.ts';
import { cpuPercent, messagesReceived, readProcess, total } from './support/meter.ts';

export interface Timing {
  /** The time before the measurement, in milliseconds. */
  readonly warmUpMs: number;
  readonly windowMs: number;
  /** How long growth is measured after the window, in milliseconds. By then V8 has compiled the looping code. */
  readonly growthMs: number;
}

export const full: Timing = { warmUpMs: 4_000, windowMs: 20_000, growthMs: 60_000 };
export const quick: Timing = { warmUpMs: 4_000, windowMs: 20_000, growthMs: 0 };

export interface Measured {
  readonly group: string;
  readonly name: string;
  readonly cpuPercent: number;
  /** Messages that etcd received: unary calls, and messages on streams. */
  readonly callsPerSecond: number;
  /** Connections to the endpoint with the most of them. */
  readonly dialsPerSecond: number;
  readonly lines: number;
  /** The time in which these lines were written. */
  readonly linesOverMs: number;
  /** Growth of the used heap after a collection, in KiB; undefined if the process cannot answer. */
  readonly heapGrowthKiB: number | undefined;
  readonly residentGrowthKiB: number;
  readonly resourceGrowth: number | undefined;
  /** 0 if it never stopped leading; undefined if the row has no recovery, or the process did not recover. */
  readonly leadsAgainMs: number | undefined;
  readonly trips: number;
  readonly rounds: number;
  readonly died: string | undefined;
}

const here = dirname(fileURLToPath(import.meta.url));
const PATIENCE_MS = 40_000;

/** Some of them block their own event loop: only a signal ends those. */
const subjects = new Set<Subject>();
process.on('exit', () => subjects.forEach(({ child }) => child.kill('SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

class Subject {
  readonly child: ChildProcess;
  lines = 0;
  readonly text: string[] = [];
  trips = 0;
  leads = false;
  ledAtMs = 0;
  died: string | undefined;
  #report: ((report: Extract<Message, { type: 'report' }>) => void) | undefined;
  #onChange: () => void = () => undefined;

  constructor(row: Row, hosts: string) {
    this.child = spawn(
      process.execPath,
      ['--expose-gc', join(here, 'row.mjs'), row.scenario ?? row.name, hosts, row.credentials ?? ''],
      { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] },
    );
    subjects.add(this);
    for (const output of [this.child.stdout!, this.child.stderr!])
      createInterface({ input: output }).on('line', (line) => {
        this.lines++;
        if (this.text.length < 400) this.text.push(line);
      });
    this.child.on('message', (message) => this.#receive(message as Message));
    this.child.once('exit', (code, signal) => {
      subjects.delete(this);
      this.died = `${code ?? signal}`;
    });
  }

  #receive(message: Message): void {
    if (message.type === 'leads') {
      this.leads = true;
      this.ledAtMs = message.atMs;
    } else if (message.type === 'lost') this.leads = false;
    else if (message.type === 'tripped') this.trips++;
    else if (message.type === 'report') this.#report?.(message);
    this.#onChange();
  }

  /** Its own report; undefined if its event loop is blocked. */
  async report(): Promise<Extract<Message, { type: 'report' }> | undefined> {
    if (this.died !== undefined) return undefined;
    return await new Promise((resolve) => {
      const timer = setTimeout(() => resolve(undefined), 2_000);
      this.#report = (report) => {
        clearTimeout(timer);
        resolve(report);
      };
      this.child.send('report', () => undefined);
    });
  }

  async untilLeading(withinMs: number): Promise<boolean> {
    const dueAtMs = Date.now() + withinMs;
    while (!this.leads && this.died === undefined && Date.now() < dueAtMs) {
      await Promise.race([
        new Promise<void>((resolve) => (this.#onChange = resolve)),
        sleep(dueAtMs - Date.now(), undefined, { ref: false }),
      ]);
    }
    return this.leads;
  }

  async end(): Promise<void> {
    if (this.died !== undefined) return;
    this.child.kill('SIGKILL');
    await once(this.child, 'exit');
  }
}

export async function measure(
  row: Row,
  timing: Timing,
): Promise<Measured & { readonly log: readonly string[] }> {
  await using stage = await setStage(row.stage ?? {});
  const prepared = (await row.fault?.prepare?.(stage)) ?? {};
  const hosts = prepared.hosts ?? stage.proxies.map(({ endpoint }) => endpoint).join(',');
  const subject = new Subject(row, hosts);
  try {
    await once(subject.child, 'message');
    if (row.leadsFirst === true && !(await subject.untilLeading(10_000)))
      throw new Error(`${row.name}: it never led`);
    await row.fault?.begin?.(stage);
    return { ...(await observe(row, timing, stage, subject)), log: subject.text };
  } finally {
    await subject.end();
    await prepared.undo?.();
  }
}

async function observe(row: Row, timing: Timing, stage: Stage, subject: Subject): Promise<Measured> {
  const pid = subject.child.pid!;
  const calls = async (): Promise<number> =>
    total(await messagesReceived(await answering(stage)).catch(() => new Map<string, number>()), [
      ...(row.fault?.operatorCalls ?? []),
      ...(row.userCalls ?? []),
    ]);
  const read = async () => {
    const report = await subject.report();
    return { report, lines: subject.lines, calls: await calls(), process: await readProcess(pid) };
  };

  await sleep(row.warmUpMs ?? timing.warmUpMs);
  const from = await read();
  await sleep(timing.windowMs);
  const atEnd = await readProcess(pid);
  const to = await read();
  const cpu = cpuPercent(from.process, atEnd);
  const seconds = (to.process.atMs - from.process.atMs) / 1000;
  if (timing.growthMs > 0) await sleep(timing.growthMs);
  const last = timing.growthMs > 0 ? await read() : to;
  // Without a separate period the growth is that of the window, including the code and buffers of the first seconds.
  const grownFrom = timing.growthMs > 0 ? to : from;

  const dials = Object.entries(to.report?.told.dialsByPort ?? {}).map(
    ([port, count]) => count - (from.report?.told.dialsByPort[Number(port)] ?? 0),
  );
  const growth = (of: (report: NonNullable<typeof to.report>) => number): number | undefined =>
    grownFrom.report === undefined || last.report === undefined
      ? undefined
      : of(last.report) - of(grownFrom.report);
  const heapGrowth = growth(({ heapBytes }) => heapBytes);
  const result = {
    group: row.group,
    name: row.name,
    cpuPercent: cpu,
    callsPerSecond: (to.calls - from.calls) / seconds,
    dialsPerSecond: Math.max(0, ...dials) / seconds,
    lines: last.lines - from.lines,
    linesOverMs: last.process.atMs - from.process.atMs,
    heapGrowthKiB: heapGrowth === undefined ? undefined : Math.round(heapGrowth / 1024),
    residentGrowthKiB: Math.round((last.process.residentBytes - grownFrom.process.residentBytes) / 1024),
    resourceGrowth: growth(({ resources }) => resources),
    trips: subject.trips,
    rounds: last.report?.told.rounds ?? 0,
    died: subject.died,
  };
  if (row.fault?.end === undefined) return { ...result, leadsAgainMs: undefined };
  await row.fault.end(stage);
  const goneAtMs = Date.now();
  await sleep(1); // a message may be in transit
  const ledOn = subject.leads;
  const leads = ledOn || (await subject.untilLeading(PATIENCE_MS));
  return { ...result, leadsAgainMs: !leads ? undefined : ledOn ? 0 : subject.ledAtMs - goneAtMs };
}

/** Members that are running and not frozen. The others cannot answer, and have served no call. */
async function answering({ etcd }: Stage): Promise<string[]> {
  const asked = await Promise.all(
    etcd.endpoints.map(async (endpoint) => {
      const answer = await fetch(`${endpoint}/version`, { signal: AbortSignal.timeout(500) }).catch(
        () => undefined,
      );
      return answer?.ok === true ? [endpoint] : [];
    }),
  );
  return asked.flat();
}
