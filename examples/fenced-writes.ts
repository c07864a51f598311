/** Writes to etcd and to another store. Both refuse the writes of a former leader. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import { Election, OutcomeUnknownError, UnavailableError, type Term } from 'etcd-election';

const endpoints = process.env['ETCD_ENDPOINTS'];
if (!endpoints) throw new Error('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
const client = new Etcd3({ hosts: endpoints.split(',') });
const election = new Election(client, 'sync-master');

// #region txn
/** Writes to etcd if the key of this term still exists at the commit. */
async function save(term: Term, progress: string): Promise<void> {
  await term.put('sync/progress', progress);
}
// #endregion txn

// #region compare
/** Takes an amount from a balance. It writes only if the key is unchanged since the read. */
async function withdraw(term: Term, amount: number): Promise<boolean> {
  const { responses } = await term.txn().then(client.get('sync/balance')).commit();
  const [kv] = responses[0]!.response_range.kvs; // one response for each operation in then()
  const rest = Number(kv?.value.toString() ?? 0) - amount;
  if (kv === undefined || rest < 0) return false;
  const { succeeded } = await term
    .txn()
    .and('sync/balance', 'Mod', '==', kv.mod_revision) // the key is unchanged
    .then(client.put('sync/balance').value(String(rest)))
    .commit();
  return succeeded; // false if another write changed the key: read again
}
// #endregion compare

// #region lost
/** Books a payment once. The same transaction writes `ledger/<id>`, which a later term can read. */
async function book(term: Term, id: string): Promise<void> {
  const booking = [client.put('ledger/last').value(id), client.put(`ledger/${id}`).value('booked')];
  try {
    await term
      .txn({ exactlyOnce: true })
      .then(...booking)
      .commit();
  } catch (error) {
    if (error instanceof OutcomeUnknownError && error.writeId !== undefined) {
      term.stepDown(); // this term must not build on a write that may still arrive
      void settled(term, error.writeId).then((outcome) => console.log(`${id}: ${outcome}`), console.error);
    }
    throw error; // the work ends without waiting for the outcome
  }
}

/** Asks again until etcd answers. `onLeader` must not await this: an outage may last longer than `drainTimeoutMs`. */
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
/** Remembers the largest token, and refuses writes with a smaller one. A real store keeps the token on disk, with the data. */
class Store {
  #largestToken = 0n;
  #value = '';

  write(value: string, fencingToken: bigint): void {
    if (fencingToken < this.#largestToken)
      throw new Error(`token ${fencingToken} is stale: ${this.#largestToken} has written`);
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
await first.put('sync/balance', '19');
console.log(`withdrawn: ${await withdraw(first, 10)}, again: ${await withdraw(first, 10)}`);
store.write('half', first.fencingToken);

await election.stepDown(); // ends the first term. The campaign goes on
const second = await election.campaign();
await book(second, '17');
console.log(`booked: ${await client.get('ledger/17').string()}`);
console.log(`the token has grown: ${second.fencingToken > first.fencingToken}`);
store.write('whole', second.fencingToken);

try {
  store.write('half again', first.fencingToken); // a delayed write
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
