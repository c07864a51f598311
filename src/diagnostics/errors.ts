/** Stable across versions: match on `code`, not on `message`. */
export type DiagnosticsErrorCode =
  /** An option, a query or a file is not what it should be; the message says what was expected. */
  | 'DIAGNOSTICS_INVALID'
  /** This process cannot do it: no inspector, no permission, not the main thread; the message says which. */
  | 'DIAGNOSTICS_UNAVAILABLE'
  /** Another profile is being taken. */
  | 'DIAGNOSTICS_BUSY'
  /** The main thread did not answer in time, or what answered was closed meanwhile. */
  | 'DIAGNOSTICS_NO_ANSWER';

/** What every function of `etcd-election/diagnostics` throws or rejects with when it cannot do its job. */
export class DiagnosticsError extends Error {
  override readonly name = 'DiagnosticsError';
  readonly code: DiagnosticsErrorCode;

  constructor(code: DiagnosticsErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** @returns the message of anything thrown, for one line of a log or a page. */
export const messageOf = (thrown: unknown): string =>
  thrown instanceof Error ? thrown.message : String(thrown);
