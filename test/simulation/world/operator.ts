/** Calls to etcd by an operator and by the checker. */
import type { Endpoint, Refusal } from '../network/endpoint.ts';
import { until } from './story.ts';

const CALL_LIMIT_MS = 1_500;
const AGAIN_MS = 50;
const MOST_TRIES = 400;

export interface RawKeyValue {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly create_revision: string;
  readonly mod_revision: string;
  readonly version: string;
  readonly lease: string;
}

interface Answer {
  readonly error: Refusal | null;
  readonly response: object | undefined;
}

export class Operator {
  readonly #endpoints: () => readonly Endpoint[];

  constructor(endpoints: () => readonly Endpoint[]) {
    this.#endpoints = endpoints;
  }

  put(key: string, value = 'x'): Generator<number, object | undefined> {
    return this.#call('put', { key: Buffer.from(key), value: Buffer.from(value) });
  }

  /** Puts the key without a lease, if it exists. */
  takeOffLease(key: string, value: string): Generator<number, object | undefined> {
    const name = Buffer.from(key);
    return this.#call('txn', {
      compare: [{ key: name, target: 'Version', result: 'Greater', version: '0' }],
      success: [{ request_put: { key: name, value: Buffer.from(value) } }],
    });
  }

  delete(key: string): Generator<number, object | undefined> {
    return this.#call('deleteRange', { key: Buffer.from(key) });
  }

  revoke(leaseId: string): Generator<number, object | undefined> {
    return this.#call('leaseRevoke', { ID: leaseId });
  }

  *compact(): Generator<number, void> {
    const answer = (yield* this.#call('range', { key: Buffer.from('x') })) as
      { header: { revision: string } } | undefined;
    if (answer !== undefined) yield* this.#call('compact', { revision: answer.header.revision });
  }

  /**
   * All keys with this prefix, by a linearizable read.
   * @returns undefined if etcd does not answer.
   */
  *read(prefix: string): Generator<number, readonly RawKeyValue[] | undefined> {
    const end = Buffer.from(prefix);
    end[end.length - 1]! += 1;
    const answer = yield* this.#call('range', { key: Buffer.from(prefix), range_end: end });
    return (answer as { kvs: readonly RawKeyValue[] } | undefined)?.kvs;
  }

  /** Asks one member after another until one answers. A final refusal is not repeated. */
  *#call(method: string, request: object): Generator<number, object | undefined> {
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const endpoints = this.#endpoints().filter(({ condition }) => condition === 'up');
      const endpoint = endpoints[tries % Math.max(1, endpoints.length)];
      if (endpoint !== undefined) {
        const answers: Answer[] = [];
        endpoint.unary(method, request, (error, response) => answers.push({ error, response }));
        yield* until(() => answers.length > 0, CALL_LIMIT_MS);
        const [answer] = answers;
        if (answer?.error === null) return answer.response;
        if (answer?.error?.code === NOT_FOUND || answer?.error?.code === OUT_OF_RANGE) return undefined;
      }
      yield AGAIN_MS;
    }
    return undefined;
  }
}

const NOT_FOUND = 5;
const OUT_OF_RANGE = 11;
