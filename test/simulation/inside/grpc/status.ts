const codes = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
];

export interface Status {
  readonly code: number;
  readonly details: string;
}

export const UNAVAILABLE = 14;

/** In gRPC's words: `14 UNAVAILABLE: No connection established`. */
export const errorOf = ({ code, details }: Status): Error =>
  Object.assign(new Error(`${code} ${codes[code] ?? 'UNKNOWN'}: ${details}`), { code, details });

export class Metadata {
  readonly #entries = new Map<string, string>();

  set(key: string, value: string): void {
    this.#entries.set(key, value);
  }

  clone(): Metadata {
    const copy = new Metadata();
    for (const [key, value] of this.#entries) copy.set(key, value);
    return copy;
  }
}
