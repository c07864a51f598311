/**
 * Zod schemas for options. Their error messages name the option, the expected value and the actual one.
 */
import * as z from 'zod'; // as a namespace: otherwise bundlers keep all its locales
import { isObject, shown } from '../core/shown.ts';

export type Fields = z.ZodObject<Readonly<Record<string, z.ZodType>>>;

export type Values<F extends Fields> = Readonly<z.output<F>>;

/** An object with these fields and no others. Call it once for each set of options, because zod compiles the schema. */
export const only = <F extends Readonly<Record<string, z.ZodType>>>(
  fields: F,
): z.ZodObject<{ -readonly [K in keyof F]: F[K] }, z.core.$strict> => z.strictObject(fields);

const expected = (what: string): { error: string } => ({ error: `expected ${what}` });

/** A whole number in a range. @param hint added to the expected value in the message. */
export function whole<T extends number | undefined>(
  least: number,
  most: number,
  fallback: T,
  hint = '',
): z.ZodType<number | T> {
  const error = expected(`a whole number from ${least} to ${most}${hint}`);
  return withFallback(z.int(error).min(least, error).max(most, error), fallback);
}

export function real(least: number, most: number, fallback: number): z.ZodType<number> {
  const error = expected(`a number from ${least} to ${most}`);
  return z.number(error).min(least, error).max(most, error).default(fallback);
}

/** A number above the limit, up to `most`. */
export function above(limit: number, most: number, fallback: number): z.ZodType<number> {
  const error = expected(`a number above ${limit}, at most ${most}`);
  return z.number(error).gt(limit, error).max(most, error).default(fallback);
}

/** One of some values; the first is the default. */
export const oneOf = <const T extends readonly [string | boolean, ...(string | boolean)[]]>(
  ...values: T
): z.ZodType<T[number]> =>
  z
    .literal(values, expected(values.map((value) => JSON.stringify(value)).join(' or ')))
    .default(values[0] as never) as z.ZodType<T[number]>;

export const flag = (fallback: boolean): z.ZodType<boolean> =>
  z.boolean(expected('true or false')).default(fallback);

export function text<T extends string | undefined>(least: number, fallback: T): z.ZodType<string | T> {
  const error = expected(`a string of at least ${least} character${least === 1 ? '' : 's'}`);
  return withFallback(z.string(error).min(least, error), fallback);
}

export const callback = <F>(): z.ZodType<F | undefined> =>
  optional<F>('a function', (value) => typeof value === 'function');

export const optional = <T>(what: string, accepts: (value: unknown) => boolean): z.ZodType<T | undefined> =>
  z.custom<T>(accepts, expected(what)).optional();

/** A string that a rule checks. @param problemOf returns what is expected instead; undefined if the string is valid. */
export const ruled = (
  problemOf: (value: unknown) => string | undefined,
  fallback: string,
): z.ZodType<string> =>
  z
    .custom<string>(() => true)
    .superRefine((value, context) => {
      const problem = problemOf(value);
      if (problem !== undefined) context.addIssue({ code: 'custom', message: `expected ${problem}` });
    })
    .default(fallback);

const withFallback = <V, T>(schema: z.ZodType<V>, fallback: T): z.ZodType<V | T> =>
  (fallback === undefined ? schema.optional() : schema.default(fallback as never)) as z.ZodType<V | T>;

/** Fields whose values may be secrets. Complaints do not show these values. */
const secrets = new WeakSet<z.ZodType>();

export function secret<T>(schema: z.ZodType<T>): z.ZodType<T> {
  secrets.add(schema);
  return schema;
}

/**
 * Reads options. `undefined` counts as left out, and an unknown name is a problem.
 *
 * @param path name of the options in messages.
 * @param complaints receives a line for every problem.
 * @returns undefined if there was a problem.
 */
export function readFields<F extends Fields>(
  fields: F,
  options: unknown,
  path: string,
  complaints: string[],
): Values<F> | undefined {
  if (options !== undefined && !isObject(options)) {
    complaints.push(`${path}: expected an object, got ${shown(options)}`);
    return undefined;
  }
  const read = fields.safeParse(options ?? {});
  // Lists every field, so that the settings of all elections have one shape.
  if (read.success)
    return Object.fromEntries(Object.keys(fields.shape).map((name) => [name, read.data[name]])) as Values<F>;
  for (const issue of read.error.issues) complaints.push(...complaintsOf(issue, fields, options ?? {}, path));
  return undefined;
}

function complaintsOf(
  issue: z.core.$ZodIssue,
  fields: Fields,
  options: Record<string, unknown>,
  path: string,
): string[] {
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => `${path}.${key}: there is no such option`);
  const name = String(issue.path[0]);
  const field = fields.shape[name];
  const isSecret = field !== undefined && secrets.has(field);
  return [`${path}.${name}: ${issue.message}${isSecret ? '' : `, got ${shown(options[name])}`}`];
}
