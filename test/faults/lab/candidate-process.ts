/** A candidate of the lab as its parent sees it: the process, its networks, its news and its log. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { type FaultyProxy } from 'etcd-election/dev';
import type { CandidatePlan, News, Order } from './candidate-protocol.ts';
import { nowMs } from './history.ts';

const MOST_APPENDS_A_LIFE = 1_000_000;

export class Candidate {
  readonly name: string;
  readonly links: readonly FaultyProxy[];
  readonly historyFile: string;
  readonly logFile: string;
  readonly #plan: CandidatePlan;
  readonly #module: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #onNews: () => void;
  #lives = 0;
  #child: ChildProcess | undefined;
  isFrozen = false;
  /** The present term, as the candidate reported it. */
  term: { token: string; key: string; leaseId: string } | undefined;
  lastActedAtMs = Number.NEGATIVE_INFINITY;
  readonly endings: string[] = [];
  reported: Extract<News, { says: 'report' }> | undefined;
  hasLeft = false;

  constructor(
    plan: CandidatePlan,
    setting: { links: readonly FaultyProxy[]; module: string; env: NodeJS.ProcessEnv; onNews: () => void },
  ) {
    this.name = plan.name;
    this.links = setting.links;
    this.historyFile = plan.historyFile;
    this.logFile = plan.logFile;
    this.#plan = plan;
    this.#module = setting.module;
    this.#env = setting.env;
    this.#onNews = setting.onNews;
  }

  get isRunning(): boolean {
    return this.#child !== undefined;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Whether it has just acted in its present term: an elected leader may not act yet. */
  get isActing(): boolean {
    return this.term !== undefined && !this.isFrozen && nowMs() - this.lastActedAtMs < 400;
  }

  start(): void {
    if (this.#child !== undefined) return;
    const plan: CandidatePlan = { ...this.#plan, countsFrom: this.#lives++ * MOST_APPENDS_A_LIFE };
    const child = fork(this.#module, [], {
      env: { ...process.env, ...this.#env, LAB_CANDIDATE: JSON.stringify(plan) },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      execArgv: ['--enable-source-maps'],
    });
    this.#child = child;
    this.isFrozen = false;
    child.stderr
      ?.setEncoding('utf8')
      .on('data', (text: string) => process.stderr.write(`${this.name}: ${text}`));
    child.on('error', () => undefined);
    child.on('message', (news: News) => {
      if (this.#child !== child) return;
      this.#hear(news);
    });
    child.once('exit', () => {
      if (this.#child === child) this.#child = undefined;
      this.term = undefined;
      this.#onNews();
    });
  }

  #hear(news: News): void {
    switch (news.says) {
      case 'elected':
        this.term = news;
        this.lastActedAtMs = Number.NEGATIVE_INFINITY;
        break;
      case 'acting':
        if (this.term?.token === news.token) this.lastActedAtMs = nowMs();
        break;
      case 'ended':
        if (this.term?.token === news.token) this.term = undefined;
        this.endings.push(news.reason);
        break;
      case 'report':
        this.reported = news;
        break;
      case 'left':
        this.hasLeft = true;
        break;
    }
    this.#onNews();
  }

  tell(order: Order): void {
    this.#child?.send(order, () => undefined);
  }

  freeze(): void {
    this.isFrozen = true;
    this.#child?.kill('SIGSTOP');
  }

  thaw(): void {
    this.isFrozen = false;
    this.#child?.kill('SIGCONT');
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  /** Restarts it with all its traffic on one member of etcd. The way to the others stays cut. */
  async restartAt(link: FaultyProxy): Promise<void> {
    await this.kill();
    for (const other of this.links) if (other !== link) other.cut();
    this.start();
  }

  async restore(): Promise<void> {
    await Promise.all(this.links.map((link) => link.restore()));
    if (this.isFrozen) this.thaw();
    this.start();
  }
}
