/**
 * The part of protobuf's wire format that pprof needs: varints and fields of bytes. A varint field with 0 is left out, as
 * in proto3. The bytes are in a Uint8Array, because an ordinary array takes eight times the memory, and a profile can
 * take several megabytes.
 */
export class Message {
  #bytes = new Uint8Array(FIRST_CAPACITY);
  #length = 0;

  /** @param value an unsigned integer: a number below 2^53, or a bigint below 2^64. */
  integer(field: number, value: number | bigint): this {
    if (value === 0 || value === 0n) return this;
    this.#varint(field * 8);
    this.#varint(value);
    return this;
  }

  /** Writes many integers as one field, including zeros. */
  packed(field: number, values: readonly number[]): this {
    const inner = new Message();
    for (const value of values) inner.#varint(value);
    return this.message(field, inner);
  }

  message(field: number, message: Message): this {
    return this.bytes(field, message.#bytes.subarray(0, message.#length));
  }

  /** Writes the field even if the text is empty, because pprof's table of strings begins with ''. */
  string(field: number, text: string): this {
    return this.bytes(field, new TextEncoder().encode(text));
  }

  bytes(field: number, bytes: Uint8Array): this {
    this.#varint(field * 8 + 2);
    this.#varint(bytes.length);
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #varint(value: number | bigint): void {
    this.#reserve(LONGEST_VARINT);
    if (typeof value === 'bigint') {
      let rest = BigInt.asUintN(64, value);
      for (; rest > 127n; rest >>= 7n) this.#bytes[this.#length++] = Number(rest & 127n) | 128;
      this.#bytes[this.#length++] = Number(rest);
    } else {
      let rest = value;
      for (; rest > 127; rest = Math.floor(rest / 128)) this.#bytes[this.#length++] = (rest % 128) | 128;
      this.#bytes[this.#length++] = rest;
    }
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#bytes.length) return;
    let capacity = this.#bytes.length * 2;
    while (capacity < needed) capacity *= 2;
    const grown = new Uint8Array(capacity);
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}

/** Most messages of a profile are smaller than this, in bytes. */
const FIRST_CAPACITY = 64;
/** The most bytes that a 64-bit integer takes as a varint. */
const LONGEST_VARINT = 10;
