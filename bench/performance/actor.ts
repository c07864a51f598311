/**
 * One process of a benchmark. It obeys orders in JSON lines, and reports events with their times in milliseconds
 * of CLOCK_MONOTONIC, which all processes of a machine share.
 */
import { subscribe } from 'node:diagnostics_channel';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Etcd3, type Campaign } from 'etcd3';
import { Election } from 'etcd-election';
import { resetLoopGuards } from 'etcd-election/dev';
import pino from 'pino';
import type { Order, Stand } from './company.ts';

const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6;
const say = (message: object): void => void process.stdout.write(`${JSON.stringify(message)}\n`);

/** Written as in a service, but to nowhere. */
const root = pino(pino.destination('/dev/null'));
let before: typeof Election | undefined;

const clients = new Map<string, Etcd3>();
const standing = new Map<string, { resign(): Promise<void>; close(): Promise<void> }>();
const grown = { dials: 0 };
subscribe('net.client.socket', () => grown.dials++);

function clientOf(name: string, hosts?: readonly string[]): Etcd3 {
  let client = clients.get(name);
  if (client === undefined) clients.set(name, (client = new Etcd3({ hosts: [...hosts!] })));
  return client;
}

function stand({ by, id, client, prefix, election, value, ttlSeconds, lastWill, hosts }: Stand): void {
  const etcd3 = clientOf(client, hosts);
  if (by === 'etcd3') {
    const campaign: Campaign = etcd3.election(`${prefix}${election}`, ttlSeconds).campaign(value);
    campaign.on('elected', () => say({ led: id, atMs: nowMs() }));
    campaign.on('error', (error: Error) => say({ failed: error.message }));
    const resign = (): Promise<void> => campaign.resign();
    standing.set(id, { resign, close: resign });
    return;
  }
  resetLoopGuards(); // each candidate represents a replica, and a real replica is its own process
  resetLines();
  const logger = root.child({});
  const ours = new (by === 'before' ? before! : Election)(etcd3, election, {
    prefix,
    ttlSeconds,
    logger,
    ...(lastWill === true && { lastWill }),
    onLeader: () => say({ led: id, atMs: nowMs() }),
    onFollower: () => say({ queued: id }),
  });
  void ours.campaign(value);
  standing.set(id, ours);
}

/** A service hands over once a day, and its lines are then within the quota. So none may be omitted here. */
function resetLines(): void {
  const home = globalThis as { [key: symbol]: Map<string, Map<string, unknown>> | undefined };
  home[Symbol.for('etcd-election/1')]?.get('lines')?.clear();
}

/** As a user would write it by hand: put if absent, on a lease, a limited number at a time. */
async function createMany(client: Etcd3, prefix: string, count: number, atOnce: number): Promise<number> {
  const { ID: lease } = await client.leaseClient.leaseGrant({ ID: 0, TTL: 60 });
  const sinceMs = nowMs();
  let next = 0;
  const one = async (): Promise<void> => {
    while (next < count) {
      const key = `${prefix}${next++}/1`;
      await client.if(key, 'Create', '==', 0).then(client.put(key).value('10.0.0.7').lease(lease)).commit();
    }
  };
  await Promise.all(Array.from({ length: atOnce }, one));
  return nowMs() - sinceMs;
}

/**
 * Starts all elections at once on one client.
 * @returns how long it took until all led.
 */
async function leadMany(client: Etcd3, prefix: string, count: number, ttlSeconds: number): Promise<number> {
  const sinceMs = nowMs();
  return await new Promise((resolve) => {
    let led = 0;
    const onLeader = (): void => {
      if (++led === count) resolve(nowMs() - sinceMs);
    };
    for (let number = 0; number < count; number++) {
      const election = new Election(client, `e${number}`, { prefix, ttlSeconds, logger: root, onLeader });
      void election.campaign('10.0.0.7');
      standing.set(`${prefix}${number}`, election);
    }
  });
}

/** The number of elections whose own view is that their term is current. */
const leading = (): number =>
  [...standing.values()].filter((one) => one instanceof Election && one.status.term?.isCurrent() === true)
    .length;

async function obey(order: Order): Promise<object> {
  switch (order.do) {
    case 'connect':
      await clientOf(order.client, order.hosts).get('anything').string();
      return {};
    case 'load':
      before = ((await import(join(order.folder, 'index.js'))) as { Election: typeof Election }).Election;
      return {};
    case 'stand':
      for (const one of order.stands) stand(one);
      return {};
    case 'resign': {
      const atMs = nowMs();
      await standing.get(order.id)!.resign();
      return { atMs, doneAtMs: nowMs() };
    }
    case 'watch': {
      const watcher = await clientOf(order.client).watch().prefix(order.prefix).create();
      if (order.silent !== true)
        watcher.on('delete', (kv) => say({ deleted: kv.key.toString(), atMs: nowMs() }));
      return {};
    }
    case 'put':
      await clientOf(order.client).put(order.key).value('10.0.0.7');
      return {};
    case 'delete': {
      const atMs = nowMs();
      await clientOf(order.client).delete().key(order.key);
      return { atMs };
    }
    case 'delete-if': {
      const atMs = nowMs();
      const client = clientOf(order.client);
      await client.if(order.key, 'Create', '!=', 0).then(client.delete().key(order.key)).commit();
      return { atMs };
    }
    case 'create-many':
      return { ms: await createMany(clientOf(order.client), order.prefix, order.count, order.atOnce) };
    case 'lead-many':
      return { ms: await leadMany(clientOf(order.client), order.prefix, order.count, order.ttlSeconds) };
    case 'leading':
      return { leading: leading() };
    case 'usage': {
      globalThis.gc?.();
      globalThis.gc?.();
      const { heapUsed, rss, external } = process.memoryUsage();
      const { user, system } = process.cpuUsage();
      return {
        heapBytes: heapUsed,
        externalBytes: external,
        residentBytes: rss,
        cpuMs: (user + system) / 1e3,
        ...grown,
      };
    }
    case 'close':
      await Promise.all([...standing.values()].map((one) => one.close()));
      return {};
  }
}

createInterface(process.stdin).on('line', (line) => {
  const { number, ...order } = JSON.parse(line) as Order & { number: number };
  obey(order as Order).then(
    (answer) => say({ number, ...answer }),
    (error: unknown) => say({ number, error: String(error) }),
  );
});
