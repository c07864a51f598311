/**
 * Converts fields for JSON. Tokens become strings, because JSON has no bigint, and a number would lose digits.
 */
export const jsonOf = (fields: object): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      typeof value === 'bigint' ? value.toString() : value,
    ]),
  );
