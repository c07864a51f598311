/**
 * The model of one member against the real etcd: the same random operations, every answer and every watch event compared.
 * The real one is right.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect, isDeepStrictEqual } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'vitest';
import { startEtcd, type EtcdCluster } from '../../src/dev/index.ts';
import { Operations, type Operation } from './differential/operations.ts';
import { modelMember, realMember, type Outcome, type Stream, type Subject } from './differential/subject.ts';
import { ModelTime } from './differential/model-time.ts';
import { stream } from './process/random.ts';
import { Cluster, defectsOf } from './etcd/cluster.ts';
import { raw, type Raw } from './etcd/wire.ts';

const OPERATIONS = 10_000;
/** syncWatchersLoop has been round once. */
const SYNCED_AFTER_MS = 150;

test.for([1])('the model of one member answers as etcd does: seed %i', { timeout: 600_000 }, async (seed) => {
  await using folder = await fastFolder();
  await using etcd = await startEtcd({ dataDir: folder.path });
  const pair = await Pair.open(etcd, seed);
  const operations = new Operations(stream(seed, ''));
  for (let count = 0; count < OPERATIONS; count++) {
    const outcome = await pair.run(operations.next(), `operation ${count}`);
    operations.revision = Math.max(operations.revision, revisionIn(outcome));
  }
  await pair.compareWatches();
  pair.close();
});

/** In memory where the machine has such a place: each write waits for the disk. */
async function fastFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const inMemory = '/dev/shm';
  const path = await mkdtemp(join(existsSync(inMemory) ? inMemory : tmpdir(), 'etcd-election-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** The revision of etcd's answer; 0 where it refused. */
const revisionIn = (outcome: Outcome | undefined): number =>
  outcome !== undefined && 'response' in outcome
    ? Number(raw(raw(outcome.response)['header'])['revision'])
    : 0;

interface Side {
  readonly subject: Subject;
  readonly watch: Stream;
  readonly keepAlive: Stream;
}

/** The real etcd and the model, side by side. */
class Pair {
  readonly #time: ModelTime;
  readonly #real: Side;
  readonly #model: Side;
  readonly #startedMs = performance.now();
  /** A watch that began in the past may not have been told all yet. */
  #isBehind = false;

  private constructor(time: ModelTime, sides: readonly [Side, Side]) {
    this.#time = time;
    [this.#real, this.#model] = sides;
  }

  static async open(etcd: EtcdCluster, seed: number): Promise<Pair> {
    const time = new ModelTime();
    const cluster = new Cluster({
      scheduler: time,
      random: stream(seed, ''),
      members: 1,
      defects: defectsOf(etcd.version),
    });
    time.runUntilTrue(() => cluster.leader !== undefined);
    const real = realMember(etcd.endpoints[0]!);
    const model = modelMember(cluster.members[0]!, time);
    const side = async (subject: Subject): Promise<Side> => ({
      subject,
      watch: await subject.stream('watch'),
      keepAlive: await subject.stream('leaseKeepAlive'),
    });
    return new Pair(time, [await side(real), await side(model)]);
  }

  async run(operation: Operation, what: string): Promise<Outcome | undefined> {
    this.#time.runTo(performance.now() - this.#startedMs);
    if (operation.kind === 'watch') return await this.#watch(raw(operation.request));
    if (operation.kind === 'unary' && operation.method === 'compact') await this.#settle();
    const real = await this.#outcome(this.#real, operation);
    const model = await this.#outcome(this.#model, operation);
    expectSame({ what, operation }, comparable(real), comparable(model));
    return real;
  }

  async #outcome(
    { subject, keepAlive }: Side,
    operation: Exclude<Operation, { kind: 'watch' }>,
  ): Promise<Outcome> {
    if (operation.kind === 'unary') return await subject.unary(operation.method, operation.request);
    const before = keepAlive.received.length;
    keepAlive.write({ ID: operation.ID });
    await this.#until(() => keepAlive.received.length > before);
    return { response: keepAlive.received[before]! };
  }

  async #watch(request: Raw): Promise<undefined> {
    const create = request['create_request'];
    if (create === undefined) await this.#settle();
    const isPast = create !== undefined && raw(create)['start_revision'] !== '0';
    for (const { watch } of [this.#real, this.#model]) {
      const before = watch.received.length;
      watch.write(request);
      if (create !== undefined)
        await this.#until(() => watch.received.slice(before).some((one) => raw(one)['created'] === true));
    }
    if (create === undefined) await this.#pause(20); // there is no answer where there is no such watch
    this.#isBehind ||= isPast;
    return undefined;
  }

  async #until(isTrue: () => boolean): Promise<void> {
    while (!isTrue()) {
      await sleep(1);
      this.#time.runFor(1);
    }
  }

  async #settle(): Promise<void> {
    if (!this.#isBehind) return;
    this.#isBehind = false;
    await this.#pause(SYNCED_AFTER_MS);
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms);
    this.#time.runFor(ms);
  }

  async compareWatches(): Promise<void> {
    this.#isBehind = true;
    await this.#settle();
    const model = storiesOf(this.#model.watch);
    for (const [id, story] of storiesOf(this.#real.watch)) expectSame({ watch: id }, story, model.get(id));
  }

  close(): void {
    this.#real.subject.close();
  }
}

/** @throws {Error} that shows both. */
function expectSame(what: object, real: unknown, model: unknown): void {
  if (isDeepStrictEqual(real, model)) return;
  const shown = inspect({ what, real, model }, { depth: 12, breakLength: 130 });
  throw new Error(`etcd and its model differ at ${placeOf(real, model)}:\n${shown}`);
}

function placeOf(real: unknown, model: unknown): string {
  if (typeof real !== 'object' || typeof model !== 'object' || real === null || model === null)
    return `: ${inspect(real)} and ${inspect(model)}`;
  const names = new Set([...Object.keys(real), ...Object.keys(model)]);
  const [name] = [...names].filter((one) => !isDeepStrictEqual(raw(real)[one], raw(model)[one]));
  return name === undefined ? '' : `.${name}${placeOf(raw(real)[name], raw(model)[name])}`;
}

/** What two members of different clusters can have in common. */
function comparable(outcome: Outcome): object {
  if ('refusal' in outcome) return outcome;
  const response = raw(outcome.response);
  const header = { ...raw(response['header']), cluster_id: '', member_id: '' };
  const keys = response['keys'] as Buffer[] | undefined;
  const isTime = response['grantedTTL'] !== undefined;
  return {
    ...response,
    header,
    // In no order; and seconds that are left may just have turned.
    ...(isTime && {
      keys: keys!.map((key) => key.toString('latin1')).sort(),
      TTL: Math.round(Number(response['TTL']) / 10),
    }),
    ...(response['leases'] !== undefined && {
      leases: (response['leases'] as { ID: string }[]).map(({ ID }) => ID).sort(),
    }),
  };
}

/** What each watch was told, in order; how it was cut into messages is not compared. */
function storiesOf({ received }: Stream): Map<string, object[]> {
  const stories = new Map<string, object[]>();
  for (const message of received.map(raw)) {
    const { watch_id: id, events, header, ...rest } = message;
    const story = stories.get(id as string) ?? [];
    stories.set(id as string, story);
    story.push(...(events as object[]));
    if (message['created'] === true || message['canceled'] === true)
      story.push({ ...rest, revision: raw(header)['revision'], raft_term: raw(header)['raft_term'] });
  }
  return stories;
}
