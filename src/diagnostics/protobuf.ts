/**
 * As much of protobuf's wire format as pprof needs: varints, and fields that carry bytes. Fields that hold 0 or ''
 * are left out, as proto3 does.
 */
export class Message {
  readonly #bytes: number[] = [];

  /** @param value an unsigned integer; a number up to 2^53, a bigint up to 2^64. */
  integer(field: number, value: number | bigint): this {
    if (value === 0 || value === 0n) return this;
    this.#varint(field * 8);
    this.#varint(value);
    return this;
  }

  /** Many integers under one field, zeros kept. */
  packed(field: number, values: readonly number[]): this {
    const inner = new Message();
    for (const value of values) inner.#varint(value);
    return this.bytes(field, inner.#bytes);
  }

  message(field: number, message: Message): this {
    return this.bytes(field, message.#bytes);
  }

  /** Kept even if empty: pprof's table of strings begins with ''. */
  string(field: number, text: string): this {
    return this.bytes(field, new TextEncoder().encode(text));
  }

  bytes(field: number, bytes: Iterable<number> & { readonly length: number }): this {
    this.#varint(field * 8 + 2);
    this.#varint(bytes.length);
    for (const byte of bytes) this.#bytes.push(byte);
    return this;
  }

  finish(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }

  #varint(value: number | bigint): void {
    if (typeof value === 'bigint') {
      let rest = BigInt.asUintN(64, value);
      for (; rest > 127n; rest >>= 7n) this.#bytes.push(Number(rest & 127n) | 128);
      this.#bytes.push(Number(rest));
    } else {
      let rest = value;
      for (; rest > 127; rest = Math.floor(rest / 128)) this.#bytes.push((rest % 128) | 128);
      this.#bytes.push(rest);
    }
  }
}
