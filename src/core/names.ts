/**
 * Which texts can be a name, a prefix or a value in etcd. Pure.
 *
 * Most refusals here are mistakes that nobody sees in etcd: a variable without a value, a copied blank, two
 * spellings of one prefix. Replicas that differ in one of them do not compete with each other, and all lead.
 */

/** Keys of ours that are no candidates lie under this name, beside the elections. */
export const RESERVED_NAME = '.writes';

/** Longest name, and longest prefix, in bytes of UTF-8: etcd keeps every key in memory. */
const LONGEST_NAME_BYTES = 1024;

/** A text that JavaScript makes from a variable without a value: `${process.env.SERVICE}-leader`. */
const UNSET = /undefined|\[object \w+\]|(?<![\p{L}\p{N}])(?:null|NaN)(?![\p{L}\p{N}])/u;

/** @returns what a variable without a value left in the text; undefined if nothing did. */
export const unsetPart = (text: string): string | undefined => UNSET.exec(text)?.[0];

/** etcd gets UTF-8: half a surrogate pair would arrive as another text than was sent. */
export const isWellFormed = (text: string): boolean => !/\p{Surrogate}/u.test(text);

/** @returns what is expected instead; undefined if elections can have this name. */
export function nameProblem(name: unknown): string | undefined {
  if (typeof name !== 'string' || name === '' || /[/\0]/.test(name))
    return 'a string that is not empty and has no "/" and no NUL';
  if (name === RESERVED_NAME) return 'another name (this one is reserved)';
  return textProblem(name) ?? edgeProblem([name]);
}

/** @returns what is expected instead; undefined if keys can begin with this. */
export function prefixProblem(prefix: unknown): string | undefined {
  if (typeof prefix !== 'string' || prefix.includes('\0') || !(prefix === '' || prefix.endsWith('/')))
    return 'an empty string or one that ends with "/", without NUL';
  if (prefix.startsWith('/'))
    return 'no "/" at the start ("/app/" and "app/" are different prefixes: write "app/" in every replica)';
  if (prefix.includes('//'))
    return 'no "//" ("app//" and "app/" are different prefixes: write "app/" in every replica)';
  const parts = prefix.split('/');
  if (parts.includes(RESERVED_NAME)) return `no part "${RESERVED_NAME}" (it is reserved)`;
  return textProblem(prefix) ?? edgeProblem(parts);
}

function textProblem(text: string): string | undefined {
  if (!isWellFormed(text))
    return 'well-formed Unicode (half a surrogate pair is left of a character that was cut)';
  if (Buffer.byteLength(text) > LONGEST_NAME_BYTES)
    return `at most ${LONGEST_NAME_BYTES} bytes of UTF-8 (this is ${Buffer.byteLength(text)}; hash what is longer)`;
  const unset = unsetPart(text);
  return unset && `no "${unset}" in it (a variable has no value: set it, or choose another name)`;
}

const edgeProblem = (parts: readonly string[]): string | undefined =>
  parts.every((part) => part.trim() === part)
    ? undefined
    : 'no blanks at its edges (a replica without them would compete in another election: trim it)';
