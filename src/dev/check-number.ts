/** @throws {RangeError} that names the option, unless its value is a number in the range. */
export function checkNumber(option: string, value: unknown, least: number, most: number): void {
  if (typeof value === 'number' && value >= least && value <= most) return;
  throw new RangeError(`${option}: expected a number from ${least} to ${most}, got ${String(value)}`);
}
