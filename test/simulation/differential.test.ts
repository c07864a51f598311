/**
 * The model of one member against the real etcd: the same random operations, with every answer and every watch
 * event compared. The real one is right.
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
import { waitFor } from './differential/wait.ts';
import { stream } from './process/random.ts';
import { Cluster, defectsOf } from './etcd/cluster.ts';
import { raw, type Raw } from './etcd/wire.ts';

const OPERATIONS = 10_000;
/** In the model's time: syncWatchersLoop has run once. */
const SYNCED_AFTER_MS = 150;
/** A real etcd that sends fewer events than the model for this long sends no more. */
const EVENTS_WITHIN_MS = 60_000;

test.for([1])('the model of one member answers as etcd does: seed %i', { timeout: 600_000 }, async (seed) => {
  await using folder = await fastFolder();
  await using etcd = await startEtcd({ dataDir: folder.path });
  using pair = await Pair.open(etcd, seed);
  const operations = new Operations(stream(seed, ''));
  for (let count = 0; count < OPERATIONS; count++) {
    const outcome = await pair.run(operations.next(), `operation ${count}`);
    operations.revision = Math.max(operations.revision, revisionIn(outcome));
  }
  await pair.compareWatches();
});

/** In memory if the machine has such a folder, because each write waits for the disk. */
async function fastFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const inMemory = '/dev/shm';
  const path = await mkdtemp(join(existsSync(inMemory) ? inMemory : tmpdir(), 'etcd-election-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** The revision of etcd's answer; 0 for a refusal. */
const revisionIn = (outcome: Outcome | undefined): number =>
  outcome !== undefined && 'response' in outcome
    ? Number(raw(raw(outcome.response)['header'])['revision'])
    : 0;

interface Side {
  readonly subject: Subject;
  readonly watch: Stream;
  /** Its watches begin in the past, and show when the others have caught up. */
  readonly witness: Stream;
  readonly keepAlive: Stream;
}

/** A request that etcd refuses at once. Its answer shows that etcd has handled all earlier requests of the stream. */
const REFUSED = { create_request: { key: Buffer.from('b'), range_end: Buffer.from('a') } };
const WITNESS = Buffer.from('witness');

/** The real etcd and the model together. */
class Pair {
  readonly #time: ModelTime;
  readonly #real: Side;
  readonly #model: Side;
  readonly #startedMs = performance.now();
  /** A watch from the past may not have received everything yet. */
  #isBehind = false;
  #slowestMs = 0;

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
      version: etcd.version,
    });
    time.runUntilTrue(() => cluster.leader !== undefined);
    const real = realMember(etcd.endpoints[0]!);
    const model = modelMember(cluster.members[0]!, time);
    const side = async (subject: Subject): Promise<Side> => ({
      subject,
      watch: await subject.stream('watch'),
      witness: await subject.stream('watch'),
      keepAlive: await subject.stream('leaseKeepAlive'),
    });
    return new Pair(time, [await side(real), await side(model)]);
  }

  async run(operation: Operation, what: string): Promise<Outcome | undefined> {
    this.#time.runTo(performance.now() - this.#startedMs);
    if (operation.kind === 'watch') return await this.#watch(raw(operation.request));
    if (operation.kind === 'unary' && operation.method === 'compact') await this.#settle();
    return await this.#same(operation, what);
  }

  async #same(operation: Exclude<Operation, { kind: 'watch' }>, what: string): Promise<Outcome> {
    const startedMs = performance.now();
    const real = await this.#outcome(this.#real, operation);
    const model = await this.#outcome(this.#model, operation);
    this.#slowestMs = Math.max(this.#slowestMs, performance.now() - startedMs);
    expectSame({ what, operation }, comparable(real), comparable(withTimeOf(real, model, this.#slowestMs)));
    return real;
  }

  async #outcome(
    { subject, keepAlive }: Side,
    operation: Exclude<Operation, { kind: 'watch' }>,
  ): Promise<Outcome> {
    if (operation.kind === 'unary') return await subject.unary(operation.method, operation.request);
    const before = keepAlive.received.length;
    keepAlive.write({ ID: operation.ID });
    const isAnswered = (): boolean => keepAlive.received.length > before;
    await this.#until(`the answer to a renewal of lease ${operation.ID}`, isAnswered, keepAlive);
    return { response: keepAlive.received[before]! };
  }

  async #watch(request: Raw): Promise<undefined> {
    const create = request['create_request'];
    if (create === undefined) await this.#settle();
    for (const { watch } of [this.#real, this.#model]) await this.#ask(watch, request);
    this.#isBehind ||= create !== undefined && raw(create)['start_revision'] !== '0';
    return undefined;
  }

  /** Returns when etcd has handled the request. A cancellation of a watch that does not exist has no answer. */
  async #ask(watch: Stream, request: object): Promise<void> {
    const before = watch.received.length;
    watch.write(request);
    watch.write(REFUSED);
    const isHandled = (): boolean =>
      watch.received.slice(before).some((one) => raw(one)['watch_id'] === '-1');
    await this.#until('the refusal after a request of a watch', isHandled, watch);
  }

  /** @throws {Error} that says whether the stream, on which the answer is due, has ended. */
  async #until(what: string, isTrue: () => boolean, stream: Stream): Promise<void> {
    const side = [this.#real.watch, this.#real.witness, this.#real.keepAlive].includes(stream)
      ? 'etcd'
      : 'model';
    await waitFor(`${side}: ${what}`, isTrue, {
      nowMs: () => performance.now(),
      pause: () => this.#pause(),
      details: () =>
        `; the stream ${inspect(stream.ended() ?? 'is open')}, ${stream.received.length} messages came`,
    });
  }

  async #pause(): Promise<void> {
    await sleep(1);
    this.#time.runFor(1);
  }

  /** All watches have received what they can. */
  async #settle(): Promise<void> {
    if (this.#isBehind) await this.#catchUp();
    this.#isBehind = false;
    const model = storiesOf(this.#model.watch);
    const isThere = (): boolean => {
      const real = storiesOf(this.#real.watch);
      return [...model].every(([id, story]) => (real.get(id)?.length ?? 0) >= story.length);
    };
    const untilMs = performance.now() + EVENTS_WITHIN_MS;
    while (!isThere() && performance.now() < untilMs) await this.#pause();
    // Otherwise the rest of the test would wait as long before every compaction.
    if (!isThere()) this.#compare();
  }

  /** etcd takes all watches that are behind in one go. So they have caught up when a new one from the past has. */
  async #catchUp(): Promise<void> {
    const put = { key: WITNESS, value: Buffer.from('1') };
    const outcome = await this.#same({ kind: 'unary', method: 'put', request: put }, 'witness');
    const create_request = { key: WITNESS, start_revision: String(revisionIn(outcome)) };
    for (const { witness } of [this.#real, this.#model]) {
      const before = witness.received.length;
      witness.write({ create_request });
      const isThere = (): boolean =>
        witness.received.slice(before).some((one) => (raw(one)['events'] as unknown[]).length > 0);
      await this.#until('the event of the witness', isThere, witness);
    }
    this.#time.runFor(SYNCED_AFTER_MS);
  }

  async compareWatches(): Promise<void> {
    this.#isBehind = true;
    await this.#settle();
    this.#compare();
  }

  #compare(): void {
    const model = storiesOf(this.#model.watch);
    for (const [id, story] of storiesOf(this.#real.watch)) expectSame({ watch: id }, story, model.get(id));
  }

  [Symbol.dispose](): void {
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

/** The model's answer with the real remaining seconds, if the time that passed between the two explains the difference. */
function withTimeOf(real: Outcome, model: Outcome, slowestMs: number): Outcome {
  if ('refusal' in real || 'refusal' in model || !('grantedTTL' in real.response)) return model;
  const [ofReal, ofModel] = [real, model].map(({ response }) => raw(response)['TTL'] as string);
  const isSame = Math.abs(Number(ofReal) - Number(ofModel)) <= 1 + (2 * slowestMs) / 1000;
  return isSame ? { response: { ...model.response, TTL: ofReal } } : model;
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
    ...(isTime && { keys: keys!.map((key) => key.toString('latin1')).sort() }), // in any order
    ...(response['leases'] !== undefined && {
      leases: (response['leases'] as { ID: string }[]).map(({ ID }) => ID).sort(),
    }),
  };
}

/** The events of each watch, in order. Their division into messages is not compared. */
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
