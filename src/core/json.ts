/**
 * What callers get, as JSON: it has no bigint, and a number would lose digits. So tokens are strings there, as in
 * the events.
 */
export const jsonOf = (fields: object): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      typeof value === 'bigint' ? value.toString() : value,
    ]),
  );
