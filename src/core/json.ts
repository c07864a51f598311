/**
 * Converts fields for JSON. JSON has no bigint, and a number would lose digits, so tokens become strings, as in the events.
 */
export const jsonOf = (fields: object): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      typeof value === 'bigint' ? value.toString() : value,
    ]),
  );
