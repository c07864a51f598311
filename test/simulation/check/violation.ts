/** A promise that a run has broken. */
export interface Violation {
  readonly promise: string;
  readonly what: string;
}
