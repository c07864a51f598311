/**
 * Everything that the elections on one etcd3 client share in this process. `SharedClient` creates the parts; none of
 * them imports this file.
 */
import type { Etcd3 } from 'etcd3';
import type { Candidacy } from '../core/campaign-state.ts';
import { enterAll, releaseAll, type Entrant, type Entry } from '../etcd/election-keys.ts';
import { EtcdTransport } from '../etcd/transport.ts';
import type { SharedWatch } from '../etcd/watch.ts';
import { LastWill } from '../last-will/index.ts';
import { SharedLog } from '../logging/shared-log.ts';
import { ActiveCampaigns } from './active-campaigns.ts';
import { Batch } from './batch.ts';
import { ReconnectBackoff } from './reconnect-backoff.ts';
import { RefusalBackoff } from './refusal-backoff.ts';
import { SessionPool } from './session-pool.ts';
import { openSharedWatch } from './shared-watch.ts';

export class SharedClient {
  readonly transport: EtcdTransport;
  readonly backoff: ReconnectBackoff;
  readonly refusalBackoff: RefusalBackoff = new RefusalBackoff();
  readonly entries: Batch<Entrant, Entry>;
  readonly releases: Batch<Candidacy, true>;
  /** Reports the events of the parts that all elections of the client share. */
  readonly log: SharedLog = new SharedLog();
  readonly campaigns: ActiveCampaigns = new ActiveCampaigns();
  readonly #client: Etcd3;
  readonly #sessions = new Map<number, SessionPool>();
  #watch: SharedWatch | undefined;
  #lastWill: LastWill | undefined;

  constructor(client: Etcd3) {
    this.#client = client;
    this.transport = new EtcdTransport(client);
    this.entries = new Batch('enter', (all, limits) => enterAll(this.transport, all, limits));
    this.releases = new Batch('release', (all, limits) => releaseAll(this.transport, all, limits));
    this.backoff = new ReconnectBackoff(client);
  }

  /** One helper process for all sessions; created for the first election that asks for it. */
  get lastWill(): LastWill {
    return (this.#lastWill ??= new LastWill(this.#client));
  }

  get watch(): SharedWatch {
    return (this.#watch ??= openSharedWatch(this.transport, this.backoff, this.log));
  }

  sessions(ttlSeconds: number): SessionPool {
    let pool = this.#sessions.get(ttlSeconds);
    if (pool === undefined) this.#sessions.set(ttlSeconds, (pool = new SessionPool(this, ttlSeconds)));
    return pool;
  }
}

const sharedClients = new WeakMap<Etcd3, SharedClient>();

export function sharedClientOf(client: Etcd3): SharedClient {
  let shared = sharedClients.get(client);
  if (shared === undefined) sharedClients.set(client, (shared = new SharedClient(client)));
  return shared;
}
