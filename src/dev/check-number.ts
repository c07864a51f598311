/** @throws {RangeError} if the value is not a number from `least` to `most`. The message names the option. */
export function checkNumber(option: string, value: unknown, least: number, most: number): void {
  if (typeof value === 'number' && value >= least && value <= most) return;
  throw new RangeError(`${option}: expected a number from ${least} to ${most}, got ${String(value)}`);
}
