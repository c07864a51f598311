/**
 * Options that a caller passes, checked field by field. Pure: values in, values and complaints out.
 */

export interface Field<T> {
  /** What the option is when it is left out. */
  readonly fallback: T;
  /** @returns what is expected instead, to complete "expected …"; undefined if the value is good. */
  readonly problemOf: (value: unknown) => string | undefined;
  /** Keeps a wrong value out of the complaint. */
  readonly isSecret?: boolean;
}

export type Fields = Readonly<Record<string, Field<unknown>>>;

export type Values<F extends Fields> = {
  readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never;
};

const field = <T>(
  expected: string,
  accepts: (value: unknown) => boolean,
  fallback: NoInfer<T>,
): Field<T> => ({
  fallback,
  problemOf: (value) => (accepts(value) ? undefined : expected),
});

/** @param hint is added to what is expected. */
export const whole = <T = number>(least: number, most: number, fallback: T, hint = ''): Field<number | T> =>
  field<number | T>(
    `a whole number from ${least} to ${most}${hint}`,
    (value) => Number.isInteger(value) && least <= (value as number) && (value as number) <= most,
    fallback,
  );

/** One of some values; the first is the default. */
export const oneOf = <const T extends readonly [unknown, ...unknown[]]>(...values: T): Field<T[number]> =>
  field<T[number]>(
    values.map((value) => JSON.stringify(value)).join(' or '),
    (value) => values.includes(value),
    values[0],
  );

export const real = (least: number, most: number, fallback: number): Field<number> =>
  field<number>(
    `a number from ${least} to ${most}`,
    (value) => typeof value === 'number' && least <= value && value <= most,
    fallback,
  );

export const flag = (fallback: boolean): Field<boolean> =>
  field<boolean>('true or false', (value) => typeof value === 'boolean', fallback);

export const text = <T>(least: number, fallback: T): Field<string | T> =>
  field<string | T>(
    least === 0 ? 'a string' : `a string of at least ${least} character${least === 1 ? '' : 's'}`,
    (value) => typeof value === 'string' && value.length >= least,
    fallback,
  );

/** A function that may be left out. */
export const callback = <F>(): Field<F | undefined> =>
  field<F | undefined>('a function', (value) => typeof value === 'function', undefined);

/** Anything that a predicate takes, and that may be left out. */
export const optional = <T>(expected: string, accepts: (value: unknown) => boolean): Field<T | undefined> =>
  field<T | undefined>(expected, accepts, undefined);

/**
 * Reads options: `undefined` counts as left out, and a name that is not a field is a complaint.
 *
 * @param path of the options, for complaints.
 * @param complaints gets a line for each problem; the values mean something only if it stays empty.
 */
export function readFields<F extends Fields>(
  fields: F,
  options: unknown,
  path: string,
  complaints: string[],
): Values<F> {
  const given = isObject(options) ? options : {};
  if (options !== undefined && !isObject(options))
    complaints.push(`${path}: expected an object, got ${shown(options)}`);
  for (const name of Object.keys(given))
    if (!Object.hasOwn(fields, name)) complaints.push(`${path}.${name}: there is no such option`);
  const values = Object.entries(fields).map(([name, { fallback, problemOf, isSecret }]) => {
    const value = given[name];
    if (value === undefined) return [name, fallback];
    const expected = problemOf(value);
    if (expected !== undefined)
      complaints.push(
        `${path}.${name}: expected ${expected}${isSecret === true ? '' : `, got ${shown(value)}`}`,
      );
    return [name, expected === undefined ? value : fallback];
  });
  return Object.fromEntries(values) as Values<F>;
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Short, on one line, and without the contents of objects: they may hold secrets. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object';
  return String(value);
}
