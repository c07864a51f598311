import { describe, expect, test } from 'vitest';
import {
  beginWrite,
  done,
  inspect,
  markOf,
  newSlot,
  notDone,
  type Fate,
  type Slot,
} from '../../../src/core/slot-rules.ts';

// Requests arrive in every order, late or never, and every answer may be lost. Meanwhile the lease may expire, the key
// may be deleted, and the process may stop waiting at any moment. The real rules of the slots run; etcd is a few
// lines.

const WRITES = 2;
const SETTLES_EACH = 2;
const CLEARS = 1;

interface Request {
  readonly kind: 'commit' | 'settle' | 'look' | 'clear';
  readonly id: string;
  readonly base: bigint;
}

interface Etcd {
  readonly revision: bigint;
  readonly slot: { readonly revision: bigint; readonly value: string };
  readonly isLeading: boolean;
  readonly hasLease: boolean;
  /** Which branches ran, for each write. */
  readonly ran: { readonly [id: string]: readonly Fate[] };
}

interface Client {
  readonly slot: Slot;
  readonly written: number;
  readonly settles: number;
  readonly clears: number;
  /** The request whose answer is awaited. */
  readonly awaits: number | undefined;
  readonly fates: { readonly [id: string]: Fate | 'unknowable' };
}

interface World {
  readonly etcd: Etcd;
  readonly client: Client;
  /** Requests in flight, by their numbers. */
  readonly underWay: readonly (readonly [number, Request])[];
  readonly sent: number;
}

interface Protocol {
  /** What a writer asks after a lost answer. */
  readonly asks: 'settle' | 'look';
  /** Whether it removes the mark when it knows the outcome. */
  readonly clears: boolean;
}

const ours: Protocol = { asks: 'settle', clears: false };

type Answer =
  | { readonly type: 'committed'; readonly fate: Fate; readonly revision: bigint }
  | { readonly type: 'fenced' | 'lease-gone' }
  | { readonly type: 'sight'; readonly revision: bigint; readonly value: string };

/** @param branch that the user's comparisons select, if they are evaluated. */
function apply(etcd: Etcd, { kind, id, base }: Request, branch: Fate): { etcd: Etcd; answer: Answer } {
  const sight: Answer = { type: 'sight', ...etcd.slot };
  const revision = etcd.revision + 1n;
  const isUnchanged = etcd.slot.revision === base;
  const put = (fate: Fate, ran = etcd.ran): Etcd => ({
    ...etcd,
    revision,
    slot: { revision, value: markOf(id, fate) },
    ran,
  });
  if (kind === 'clear')
    return isUnchanged
      ? { etcd: { ...etcd, revision, slot: { revision: 0n, value: '' } }, answer: sight }
      : { etcd, answer: sight };
  if (kind === 'look') return { etcd, answer: sight };
  if (kind === 'commit' && !etcd.isLeading) return { etcd, answer: { type: 'fenced' } };
  if (!isUnchanged) return { etcd, answer: sight };
  if (!etcd.hasLease) return { etcd, answer: { type: 'lease-gone' } };
  if (kind === 'settle') {
    const settled = put('never');
    return { etcd: settled, answer: { type: 'sight', ...settled.slot } };
  }
  const ran = { ...etcd.ran, [id]: [...(etcd.ran[id] ?? []), branch] };
  return { etcd: put(branch, ran), answer: { type: 'committed', fate: branch, revision } };
}

function hear(client: Client, { kind, id }: Request, answer: Answer): Client {
  const learnt = (slot: Slot, fate: Fate | 'unknowable'): Client => ({
    ...client,
    slot,
    awaits: undefined,
    fates: { ...client.fates, [id]: fate },
  });
  if (kind === 'clear') return { ...client, slot: newSlot, awaits: undefined };
  switch (answer.type) {
    case 'committed':
      return learnt(done(answer.revision), answer.fate);
    case 'fenced':
      return learnt(notDone(client.slot), 'never');
    case 'lease-gone':
      return learnt(notDone(client.slot), kind === 'commit' ? 'never' : 'unknowable');
    case 'sight': {
      if (kind === 'commit') return learnt(done(answer.revision), 'never');
      const { slot, fate } = inspect(client.slot, answer);
      // A writer that only reads the slot takes "absent" for "never".
      if (fate === 'open') return learnt(notDone(slot), 'never');
      return learnt(slot, fate);
    }
  }
}

function* next(world: World, protocol: Protocol): Generator<World> {
  const { etcd, client, underWay, sent } = world;
  const send = (kind: Request['kind'], id: string, after: Client): World => ({
    ...world,
    client: { ...after, awaits: sent },
    underWay: [...underWay, [sent, { kind, id, base: after.slot.seenRevision }]],
    sent: sent + 1,
  });
  const { pending } = client.slot;
  if (client.awaits !== undefined)
    yield { ...world, client: { ...client, awaits: undefined } }; // the process stops waiting
  else if (pending !== undefined) {
    if (client.settles < SETTLES_EACH)
      yield send(protocol.asks, pending, { ...client, settles: client.settles + 1 });
  } else {
    if (client.written < WRITES) {
      const id = `w${client.written}`;
      const slot = beginWrite(client.slot, id);
      yield send('commit', id, { ...client, slot, written: client.written + 1, settles: 0 });
    }
    if (protocol.clears && client.clears < CLEARS && client.slot.seenRevision > 0n)
      yield send('clear', 'clear', { ...client, clears: client.clears + 1 });
  }
  for (const [number, request] of underWay) {
    const rest = underWay.filter(([other]) => other !== number);
    for (const branch of request.kind === 'commit' ? (['then', 'else'] as const) : (['then'] as const)) {
      const arrived = apply(etcd, request, branch);
      const lost = { ...world, etcd: arrived.etcd, underWay: rest };
      yield lost;
      if (client.awaits === number) yield { ...lost, client: hear(client, request, arrived.answer) };
    }
  }
  if (etcd.isLeading) yield { ...world, etcd: { ...etcd, isLeading: false } };
  if (etcd.hasLease) {
    const revision = etcd.revision + 1n;
    const gone = { ...etcd, revision, slot: { revision: 0n, value: '' }, isLeading: false, hasLease: false };
    yield { ...world, etcd: gone };
  }
}

/** Wrong beliefs of the writer about its writes. */
function lies({ etcd, client }: World, { clears }: Protocol): string[] {
  const found: string[] = [];
  for (const [id, ran] of Object.entries(etcd.ran)) {
    if (ran.length > 1) found.push(`${id} happened ${ran.length} times`);
    const fate = client.fates[id];
    if (fate !== undefined && fate !== 'unknowable' && fate !== ran[0]) found.push(`${id} ran, told ${fate}`);
  }
  for (const [id, fate] of Object.entries(client.fates)) {
    if ((fate === 'then' || fate === 'else') && etcd.ran[id] === undefined) found.push(`${id} never ran`);
    if (fate === 'unknowable' && etcd.hasLease && !clears) found.push(`${id} could have been learnt`);
  }
  return found;
}

const beginning: World = {
  etcd: { revision: 1n, slot: { revision: 0n, value: '' }, isLeading: true, hasLease: true, ran: {} },
  client: { slot: newSlot, written: 0, settles: 0, clears: 0, awaits: undefined, fates: {} },
  underWay: [],
  sent: 0,
};

const asText = (world: World): string =>
  JSON.stringify(world, (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value));

/** Explores every possible world until one has a wrong belief. */
function explore(protocol: Protocol): { worlds: number; lie: string | undefined; fates: Set<string> } {
  const seen = new Set<string>([asText(beginning)]);
  const open = [beginning];
  const fates = new Set<string>();
  for (const world of open) {
    const [lie] = lies(world, protocol);
    for (const fate of Object.values(world.client.fates)) fates.add(fate);
    if (lie !== undefined) return { worlds: seen.size, lie, fates };
    for (const after of next(world, protocol)) {
      const text = asText(after);
      if (seen.has(text)) continue;
      seen.add(text);
      open.push(after);
    }
  }
  return { worlds: seen.size, lie: undefined, fates };
}

describe('S1: the outcome of a write in a slot', () => {
  test('is correct in every order of arrivals, losses and expiries', () => {
    const { worlds, lie, fates } = explore(ours);
    expect(lie).toBeUndefined();
    expect(worlds).toBeGreaterThan(3_000);
    expect([...fates].sort()).toEqual(['else', 'never', 'then', 'unknowable']);
  });

  test('would be wrong if the writer only read the slot', () => {
    expect(explore({ ...ours, asks: 'look' }).lie).toMatch(/told never/);
  });

  test('would be wrong if marks were cleared', () => {
    expect(explore({ ...ours, clears: true }).lie).toMatch(/told never/);
  });
});
