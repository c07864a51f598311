import { randomBytes } from 'node:crypto';
import { Etcd3, type IOptions } from 'etcd3';
import { Election, liveElections, type ElectionOptions, type Leader, type Term } from 'etcd-election';
import { inject, test as base } from 'vitest';
import { abortOf, eventually, within } from './eventually.ts';
import { History } from './history.ts';
import { RecordedLog } from './recorded-log.ts';
import type { SharedEtcd } from './shared-etcd.ts';

/** Long enough for a busy machine not to lose the lease by chance. */
export const TTL_SECONDS = 6;
/** For tests that wait until a lease expires. etcd's own minimum. */
export const SHORT_TTL_SECONDS = 2;
/** How long a hand-over, an entry or a read may take on a busy machine. A limit for tests, not a promise. */
export const SOON_MS = 5_000;

/** What has ended has ended: no timer of ours may have to fire first. */
const AT_ONCE_MS = 250;

export interface CandidateOptions extends ElectionOptions {
  /** Name of the election. Default: `e`. */
  readonly election?: string;
  /** Default: its own client. */
  readonly client?: Etcd3;
  /** The hosts of its client. Default: the test's etcd. */
  readonly hosts?: string | string[];
}

/** One replica: its election and its events. The history records its callbacks. */
export class TestCandidate {
  readonly who: string;
  readonly client: Etcd3;
  readonly election: Election;
  readonly #history: History;

  constructor(who: string, client: Etcd3, name: string, options: ElectionOptions, history: History) {
    this.who = who;
    this.client = client;
    this.#history = history;
    const { onLeader, onFollower, ...rest } = options;
    this.election = new Election(client, name, {
      ttlSeconds: TTL_SECONDS,
      onLeader: (term) => this.#lead(term, onLeader),
      onFollower: (leader) => this.#follow(leader, onFollower),
      ...rest,
    });
  }

  /** Campaigns; recorded under its name, which is also its value. */
  campaign(value: string = this.who): Promise<Term> {
    return this.election.campaign(value);
  }

  /** The first term from now on that has not ended. */
  async elected(withinMs: number = SOON_MS): Promise<Term> {
    return await eventually(
      () => {
        const { term } = this.election.status;
        if (term?.isCurrent() !== true)
          throw new Error(`${this.who} does not lead: ${this.election.status.state}`);
        return term;
      },
      { withinMs },
    );
  }

  /** Waits until its key is in the queue. */
  async queued(withinMs: number = SOON_MS): Promise<this> {
    await eventually(() => this.election.status.position !== undefined, { withinMs });
    return this;
  }

  async #lead(term: Term, work: ElectionOptions['onLeader']): Promise<void> {
    this.#history.record(this.who, 'leads', term.fencingToken);
    term.signal.addEventListener('abort', () => {
      const { reason } = term.signal.reason as { reason: string };
      this.#history.record(this.who, 'stopped', term.fencingToken, reason);
    });
    this.#history.record(this.who, 'onLeader', term.fencingToken);
    try {
      await work?.(term);
    } finally {
      this.#history.record(this.who, 'onLeader over', term.fencingToken);
    }
  }

  async #follow(leader: Leader | undefined, work: ElectionOptions['onFollower']): Promise<void> {
    this.#history.record(this.who, 'onFollower', undefined, `following ${leader?.value}`);
    try {
      await work?.(leader);
    } finally {
      this.#history.record(this.who, 'onFollower over');
    }
  }
}

/** Everything that a test needs, under its own key prefix. After the test it is closed and checked for leaks. */
export class World {
  readonly etcd: SharedEtcd;
  readonly prefix: string = `t-${randomBytes(6).toString('hex')}/`;
  readonly history: History = new History();
  readonly log: RecordedLog = new RecordedLog();
  readonly #clients: Etcd3[] = [];
  readonly #elections: Election[] = [];
  readonly #before = held();

  constructor(etcd: SharedEtcd) {
    this.etcd = etcd;
  }

  /** A client of the user's, closed after the test. */
  client(options: Partial<IOptions> = {}): Etcd3 {
    const client = new Etcd3({ hosts: this.etcd.endpoints, ...options });
    this.#clients.push(client);
    return client;
  }

  /** An election under the test's prefix, with a silent logger, closed after the test. */
  election(client: Etcd3, name = 'e', options: ElectionOptions = {}): Election {
    const election = new Election(client, name, {
      ttlSeconds: TTL_SECONDS,
      prefix: this.prefix,
      logger: this.log.logger,
      ...options,
    });
    this.#elections.push(election);
    return election;
  }

  candidate(who: string, options: CandidateOptions = {}): TestCandidate {
    const { election = 'e', hosts, client, ...rest } = options;
    const candidate = new TestCandidate(
      who,
      client ?? this.client(hosts === undefined ? {} : { hosts }),
      election,
      { prefix: this.prefix, logger: this.log.logger, ...rest },
      this.history,
    );
    this.#elections.push(candidate.election);
    return candidate;
  }

  /** Keys of an election in etcd, oldest first. */
  async keys(name = 'e'): Promise<string[]> {
    const { kvs } = await this.#own.getAll().prefix(`${this.prefix}${name}/`).sort('Create', 'Ascend').exec();
    return kvs.map(({ key }) => key.toString());
  }

  /** The test's own client, apart from those of its candidates. */
  get own(): Etcd3 {
    return this.#own;
  }

  get #own(): Etcd3 {
    return (this.#ownClient ??= this.client());
  }
  #ownClient: Etcd3 | undefined;

  /** Ends everything that the test began, and fails if anything of ours remains. */
  async close(): Promise<void> {
    await within(30_000, 'close() of all elections', Promise.all(this.#elections.map((one) => one.close())));
    // Checked before the clients are closed, because leftovers on an open client harm its owner.
    await eventually(
      () => {
        const left = liveElections().filter((one) => this.#elections.includes(one));
        if (left.length > 0)
          throw new Error(`still standing after close(): ${left.map(({ name }) => name).join()}`);
        assertNoMore('Timeout', this.#before);
      },
      { withinMs: AT_ONCE_MS },
    );
    for (const client of this.#clients) client.close();
    this.#assertPlain();
    await eventually(
      () => {
        assertNoMore('TCPSocketWrap', this.#before);
        assertNoMore('TCPServerWrap', this.#before);
        assertNoMore('ProcessWrap', this.#before);
      },
      { withinMs: SOON_MS },
    );
  }

  /** No line of the log has gRPC's words around a cause. */
  #assertPlain(): void {
    const raw = this.log.lines.find(({ msg, reason }) =>
      /Resolution note|Last error/.test(`${msg} ${String(reason)}`),
    );
    if (raw !== undefined) throw new Error(`gRPC's words in the log: ${raw.event}: ${raw.msg}`);
  }

  toString(): string {
    return `history:\n${this.history.toString()}\n\nlog (* for all of it):\n${this.log.toString()}`;
  }
}

type Held = Record<string, number>;

/** Counts by kind what keeps this process alive. */
function held(): Held {
  const counts: Held = {};
  for (const kind of process.getActiveResourcesInfo()) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

function assertNoMore(kind: string, before: Held): void {
  const now = held();
  if ((now[kind] ?? 0) <= (before[kind] ?? 0)) return;
  throw new Error(`left after close(): ${kind}: ${before[kind] ?? 0} before the test, ${now[kind]} now`);
}

export interface Fixtures {
  world: World;
  etcd: SharedEtcd;
  prefix: string;
  history: History;
  log: RecordedLog;
  client: World['client'];
  election: World['election'];
  candidate: World['candidate'];
}

export const test = base.extend<Fixtures>({
  world: [
    async ({ onTestFailed }, use) => {
      const world = new World(inject('etcd'));
      onTestFailed(() => console.error(world.toString()));
      await use(world);
      await world.close();
    },
    { auto: true },
  ],
  etcd: async ({ world }, use) => use(world.etcd),
  prefix: async ({ world }, use) => use(world.prefix),
  history: async ({ world }, use) => use(world.history),
  log: async ({ world }, use) => use(world.log),
  client: async ({ world }, use) => use((options) => world.client(options)),
  election: async ({ world }, use) => use((client, name, options) => world.election(client, name, options)),
  candidate: async ({ world }, use) => use((who, options) => world.candidate(who, options)),
});

export { abortOf };
