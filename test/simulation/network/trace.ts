/**
 * A hash over all messages of the network, in order: two runs of one seed must have the same. It covers the
 * content, the sender and the time of messages. It does not cover microtasks, which differ between versions of
 * Node.
 */
export class Trace {
  #hash = 0x811c9dc5;
  messages = 0;

  add(atMs: number, from: string, to: string, what: string, message: object): void {
    this.messages++;
    let hash = addNumber(this.#hash, Math.round(atMs * 1e6));
    hash = addText(hash, from);
    hash = addText(hash, to);
    hash = addText(hash, what);
    this.#hash = addValue(hash, message);
  }

  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, '0');
  }
}

/** The prime of FNV-1a. */
const PRIME = 0x01000193;

function addNumber(hash: number, value: number): number {
  return Math.imul(Math.imul(hash ^ (value | 0), PRIME) ^ Math.floor(value / 4_294_967_296), PRIME);
}

function addText(hash: number, text: string): number {
  let sum = hash;
  for (let index = 0; index < text.length; index++) sum = Math.imul(sum ^ text.charCodeAt(index), PRIME);
  return sum;
}

function addValue(hash: number, value: unknown): number {
  if (typeof value === 'string') return addText(hash, value);
  if (typeof value === 'number') return addNumber(hash, value);
  if (typeof value === 'boolean') return addNumber(hash, value ? 1 : 2);
  if (typeof value !== 'object' || value === null) return hash;
  let sum = hash;
  if (value instanceof Uint8Array)
    for (let index = 0; index < value.length; index++) sum = addNumber(sum, value[index]!);
  else if (Array.isArray(value)) for (const one of value) sum = addValue(sum, one);
  else
    for (const key in value)
      sum = addValue(addText(sum, key), (value as Readonly<Record<string, unknown>>)[key]);
  return sum;
}
