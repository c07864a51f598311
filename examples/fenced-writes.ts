/** How to write so that a leader of yesterday cannot spoil the work of today's. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import { Election, OutcomeUnknownError, UnavailableError, type Term } from 'etcd-election';

const endpoints = process.env['ETCD_ENDPOINTS'];
if (!endpoints) throw new Error('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
const client = new Etcd3({ hosts: endpoints.split(',') });
const election = new Election(client, 'sync-master');

// #region txn
/** Writes to etcd, if this term is the leader at the moment of the commit. */
async function save(term: Term, progress: string): Promise<void> {
  await term.put('sync/progress', progress);
}
// #endregion txn

// #region compare
/** Moves the checkpoint only if it is where we left it. */
async function move(term: Term, from: string, to: string): Promise<boolean> {
  const { succeeded } = await term
    .txn()
    .and('sync/checkpoint', 'Value', '==', from)
    .then(client.put('sync/checkpoint').value(to))
    .commit();
  return succeeded;
}
// #endregion compare

// #region lost
/** Books a payment once. The key of its own is written in the same transaction: a later term can read it. */
async function book(term: Term, id: string): Promise<void> {
  const booking = [client.put('ledger/last').value(id), client.put(`ledger/${id}`).value('booked')];
  try {
    await term
      .txn({ exactlyOnce: true })
      .then(...booking)
      .commit();
  } catch (error) {
    if (error instanceof OutcomeUnknownError && error.writeId !== undefined) {
      term.stepDown(); // nothing in this term may build on a write that may still land
      void settled(term, error.writeId).then((outcome) => console.log(`${id}: ${outcome}`), console.error);
    }
    throw error; // the work ends; it does not wait for the outcome
  }
}

/** Repeats the question until etcd answers. An outage may be longer than the drain, so `onLeader` must not await this. */
async function settled(term: Term, writeId: string): Promise<'booked' | 'not booked' | 'unknown'> {
  for (;;) {
    try {
      return (await term.settle(writeId)).happened ? 'booked' : 'not booked';
    } catch (error) {
      if (error instanceof OutcomeUnknownError) return 'unknown'; // the lease is gone: read ledger/<id> in a later term
      if (!(error instanceof UnavailableError)) throw error;
      await sleep(1_000);
    }
  }
}
// #endregion lost

// #region outside
/** Any resource of yours can refuse a leader of yesterday: it remembers the largest token that it has seen. */
class Store {
  #largestToken = 0n;
  #value = '';

  write(value: string, fencingToken: bigint): void {
    if (fencingToken < this.#largestToken)
      throw new Error(`token ${fencingToken} is stale: ${this.#largestToken} was here`);
    this.#largestToken = fencingToken;
    this.#value = value;
  }

  get value(): string {
    return this.#value;
  }
}
// #endregion outside

const store = new Store();

const first = await election.campaign('alice');
await save(first, 'half');
console.log('saved');
await first.put('sync/checkpoint', '1');
console.log(`moved: ${await move(first, '1', '2')}, again: ${await move(first, '1', '2')}`);
store.write('half', first.fencingToken);

await election.stepDown(); // ends the first term; we stand again
const second = await election.campaign();
await book(second, '17');
console.log(`booked: ${await client.get('ledger/17').string()}`);
console.log(`the token has grown: ${second.fencingToken > first.fencingToken}`);
store.write('whole', second.fencingToken);

try {
  store.write('half again', first.fencingToken); // a write that was delayed
} catch {
  console.log(`refused, the store has: ${store.value}`);
}
try {
  await save(first, 'half again');
} catch (error) {
  console.log(`refused: ${(error as Error).name}`);
}

await election.close();
client.close();
