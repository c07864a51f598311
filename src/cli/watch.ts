/**
 * `etcd-election watch NAME`: prints changes of the leader, and outages of etcd.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { sharedClientOf } from '../client/shared-client.ts';
import { CandidateRecord } from '../core/candidate-queue.ts';
import { electionPrefix, readQueue } from '../etcd/election-keys.ts';
import type { EtcdTransport } from '../etcd/transport.ts';
import { writeLine } from '../logging/event-lines.ts';
import { Election, type Leader } from '../index.ts';
import { oneName, operandsOf, parseCommand, type CommandLine } from './arguments.ts';
import { askedBy, withEtcd } from './connect.ts';
import { EXIT } from './exit-codes.ts';
import { clusterLogger } from './narrator.ts';
import { explain, failureOf, plain, type Failure } from './plain-error.ts';
import { untilStopped } from './stop-signals.ts';
import {
  paletteFor,
  print,
  printJson,
  safe,
  shownValue,
  type Palette,
  type SafeText,
  type Terminal,
} from './terminal.ts';

export const usage = `Usage: etcd-election watch NAME [flags]

Prints the leader, and a line for every change. It also prints a line if nobody leads, and if the leader is unknown because
etcd does not answer. watch does not become a candidate. It continues through outages of etcd, until it is interrupted
(exit code 0).
Exit code 1 if etcd refuses access at the start: wrong password or certificate, missing permission.`;

const PROBE_EVERY_MS = 2_000;
/** Failures that can end by themselves. */
const MAY_PASS: readonly Failure[] = ['unreachable', 'silent', 'alarm'];
const REMIND_EVERY_MS = 60_000;

export async function watch(args: readonly string[], terminal: Terminal): Promise<number> {
  const line = parseCommand(args, terminal.env);
  const name = oneName(operandsOf(line));
  return await withEtcd(line, terminal, async (client) => {
    using stop = untilStopped(terminal.stdout);
    const { transport } = sharedClientOf(client);
    const logger = clusterLogger(terminal);
    transport.tell = (event) => writeLine(event, logger, 0); // until the election reports the events
    const over = new AbortController();
    const signal = AbortSignal.any([stop.signal, over.signal]);
    const view = new View(name, line, terminal);
    // A stop signal must end `watch` even if etcd does not answer.
    await Promise.race([view.probe(transport, signal, true), once(signal, 'abort')]);
    await using election = new Election(client, name, { prefix: line.prefix, logger });
    try {
      void view.keepProbing(transport, signal);
      for await (const leader of election.observe({ signal })) {
        if (leader === null) view.unknown();
        else view.show(leader);
      }
    } finally {
      over.abort();
    }
    return EXIT.ok;
  });
}

export class View {
  readonly #name: string;
  readonly #line: CommandLine;
  readonly #terminal: Terminal;
  readonly #palette: Palette;
  #outage: { readonly failure: Failure; readonly toldAtMs: number } | undefined;
  /** The leader that the last line names; undefined if that line is an outage, or if there is no line. */
  #shown: string | undefined;

  constructor(name: string, line: CommandLine, terminal: Terminal) {
    this.#name = name;
    this.#line = line;
    this.#terminal = terminal;
    this.#palette = paletteFor(terminal.stdout, terminal.env);
  }

  /** Prints the leader, unless the last line names it: after an outage, the probe and the observer both report it. */
  show(leader: Omit<Leader, 'isMe'> | undefined): void {
    this.#outage = undefined;
    const shown = leader === undefined ? '' : `${leader.fencingToken} ${leader.value}`;
    if (this.#shown === shown) return;
    this.#shown = shown;
    const at = new Date();
    if (this.#line.json) printJson(this.#terminal.stdout, documentOf(this.#name, leader, at));
    else print(this.#terminal.stdout, lineOf(leader, at, this.#palette));
  }

  /** Reports that etcd has confirmed nothing for one TTL, unless an outage is already reported. */
  unknown(): void {
    if (this.#outage === undefined) this.#tellOutage('etcd has confirmed nothing for one TTL');
  }

  /**
   * Checks whether etcd answers. Prints nothing after an abort.
   *
   * @throws {Error} if etcd refuses access at the start, because waiting would not help.
   */
  async probe(transport: EtcdTransport, signal: AbortSignal, isStart = false): Promise<void> {
    const { connection, prefix } = this.#line;
    try {
      const { candidates } = await readQueue(transport, electionPrefix(prefix, this.#name), {
        withinMs: connection.timeoutMs,
        isTimely: true,
        signal,
        lane: 'caller',
      });
      if (signal.aborted) return;
      if (this.#outage !== undefined && !isStart) this.show(candidates[0]);
    } catch (error) {
      if (signal.aborted) return;
      const failure = failureOf(plain(error));
      if (isStart && !MAY_PASS.includes(failure)) throw error;
      this.#tellOutage(explain(error, askedBy(this.#line))?.message ?? plain(error));
    }
  }

  async keepProbing(transport: EtcdTransport, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await sleep(PROBE_EVERY_MS, undefined, { signal }).catch(() => undefined);
      if (!signal.aborted) await this.probe(transport, signal);
    }
  }

  #tellOutage(reason: string): void {
    const nowMs = performance.now();
    const told = this.#outage;
    // Compares the kind of failure, because the text of one outage differs between endpoints.
    const failure = failureOf(reason);
    if (told?.failure === failure && nowMs - told.toldAtMs < REMIND_EVERY_MS) return;
    this.#outage = { failure, toldAtMs: nowMs };
    this.#shown = undefined;
    const at = new Date();
    const { stdout } = this.#terminal;
    if (this.#line.json) printJson(stdout, { at: at.toISOString(), election: this.#name, outage: reason });
    else
      print(
        stdout,
        safe`${this.#palette.dim(at.toISOString())}  ${this.#palette.bad('the leader is unknown')}: ${reason}`,
      );
  }
}

/** Without `isMe`: `watch` is not a candidate, and the probe does not know it. */
const documentOf = (election: string, leader: Omit<Leader, 'isMe'> | undefined, at: Date): object => ({
  at: at.toISOString(),
  election,
  leader: leader === undefined ? null : new CandidateRecord(leader),
});

export function lineOf(leader: Omit<Leader, 'isMe'> | undefined, at: Date, palette: Palette): SafeText {
  const time = palette.dim(at.toISOString());
  if (leader === undefined) return safe`${time}  ${palette.warn('nobody leads')}`;
  return safe`${time}  ${palette.good(shownValue(leader.value))} leads (token ${leader.fencingToken})`;
}
