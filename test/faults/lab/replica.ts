/**
 * A candidate in the process of the test, with its network, its log and its term, for tests that need no
 * separate process.
 */
import { inspect } from 'node:util';
import { Etcd3, type IOptions } from 'etcd3';
import { Election, type ElectionOptions, type Term } from 'etcd-election';
import { startProxy, type FaultyProxy } from 'etcd-election/dev';
import { nowMs } from './history.ts';

export interface LogLine {
  readonly atMs: number;
  readonly level: string;
  readonly event: string;
  readonly fields: Record<string, unknown>;
  readonly message: string;
}

export interface ReplicaPlan {
  readonly endpoints: readonly string[];
  readonly election: string;
  readonly value: string;
  readonly options?: ElectionOptions;
  readonly client?: Partial<IOptions>;
}

export class Replica implements AsyncDisposable {
  readonly links: readonly FaultyProxy[];
  readonly client: Etcd3;
  readonly election: Election;
  readonly value: string;
  readonly log: LogLine[] = [];
  readonly terms: Term[] = [];

  private constructor(links: readonly FaultyProxy[], plan: ReplicaPlan) {
    this.links = links;
    this.value = plan.value;
    const hosts = links.map((link) => link.endpoint);
    this.client = new Etcd3({ ...plan.client, hosts } as IOptions);
    this.election = this.another(plan.election, plan.options);
  }

  static async start(plan: ReplicaPlan): Promise<Replica> {
    const links = await Promise.all(plan.endpoints.map((target) => startProxy({ target })));
    return new Replica(links, plan);
  }

  /** Another election on the same client, with the same session and the same watch stream. */
  another(name: string, options: ElectionOptions = {}): Election {
    const logger = Object.fromEntries(
      ['trace', 'debug', 'info', 'warn', 'error'].map((level) => [
        level,
        (fields: Record<string, unknown>, message: string) =>
          this.log.push({ atMs: nowMs(), level, event: String(fields['event']), fields, message }),
      ]),
    ) as unknown as NonNullable<ElectionOptions['logger']>;
    const onLeader = (term: Term): unknown => {
      this.terms.push(term);
      return options.onLeader?.(term);
    };
    return new Election(this.client, name, { logger, ...options, onLeader });
  }

  stand(): void {
    this.election.campaign(this.value).catch(() => undefined);
  }

  get leads(): boolean {
    return this.election.status.term?.isCurrent() ?? false;
  }

  /** The events of one kind since a moment. */
  told(event: string, sinceMs = 0): LogLine[] {
    return this.log.filter((line) => line.event === event && line.atMs >= sinceMs);
  }

  /** Links that have a connection now. */
  get usedLinks(): FaultyProxy[] {
    return this.links.filter((link) => link.openConnections > 0);
  }

  async restore(): Promise<void> {
    await Promise.all(this.links.map((link) => link.restore()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.restore();
    await this.election.close();
    this.client.close();
    await Promise.all(this.links.map((link) => link.close()));
  }
}

let made = 0;

/** A name that no other test has. */
export const freshName = (): string => `story-${process.pid}-${++made}`;

/** All that a reader of its log or of these errors could see, including hidden properties and causes. */
export const everythingSaid = (replica: Replica, ...errors: readonly unknown[]): string =>
  [...replica.log.map(({ message, fields }) => ({ message, fields })), ...errors]
    .map((one) => inspect(one, { depth: null, showHidden: true, maxStringLength: null }))
    .join('\n');
