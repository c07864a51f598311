/** Stable across versions: match on `code`, not on `message`. */
export type DiagnosticsErrorCode =
  /** An option, a file or a folder is not valid. The message says what was expected. */
  | 'DIAGNOSTICS_INVALID'
  /** The call is impossible here, for example without an inspector or a permission. The message says why. */
  | 'DIAGNOSTICS_UNAVAILABLE'
  /** Another profile is being taken. */
  | 'DIAGNOSTICS_BUSY'
  /** The profiled thread did not answer in time, or the watchdog's worker ended before its answer. */
  | 'DIAGNOSTICS_NO_ANSWER';

/** The error of `etcd-election/diagnostics`. `captureProfile()` and `captureProcess()` also throw RangeError and TypeError. */
export class DiagnosticsError extends Error {
  override readonly name = 'DiagnosticsError';
  readonly code: DiagnosticsErrorCode;

  constructor(code: DiagnosticsErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The message of a thrown value, perhaps of several lines. */
export const messageOf = (thrown: unknown): string =>
  thrown instanceof Error ? thrown.message : String(thrown);
