/**
 * A hash over all messages of the network, in order: two runs of one seed must have the same. It covers what was said, who
 * said it and when; not microtasks, which differ between versions of Node.
 */
export class Trace {
  #hash = 0x811c9dc5;
  messages = 0;

  add(atMs: number, from: string, to: string, what: string, message: object): void {
    this.messages++;
    this.#number(Math.round(atMs * 1e6));
    this.#text(from);
    this.#text(to);
    this.#text(what);
    this.#value(message);
  }

  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, '0');
  }

  #number(value: number): void {
    this.#hash = Math.imul(this.#hash ^ (value | 0), 0x01000193);
    this.#hash = Math.imul(this.#hash ^ Math.floor(value / 4_294_967_296), 0x01000193);
  }

  #text(text: string): void {
    let hash = this.#hash;
    for (let index = 0; index < text.length; index++)
      hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
    this.#hash = hash;
  }

  #value(value: unknown): void {
    if (typeof value === 'string') this.#text(value);
    else if (typeof value === 'number') this.#number(value);
    else if (typeof value === 'boolean') this.#number(value ? 1 : 2);
    else if (value instanceof Uint8Array) for (const byte of value) this.#number(byte);
    else if (Array.isArray(value)) for (const one of value) this.#value(one);
    else if (typeof value === 'object' && value !== null)
      for (const key in value) {
        this.#text(key);
        this.#value((value as Record<string, unknown>)[key]);
      }
  }
}
