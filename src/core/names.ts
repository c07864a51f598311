/**
 * Checks names, prefixes and values. Most checks catch mistakes that etcd would accept: an unset variable, a copied blank,
 * two spellings of one prefix. Replicas with different spellings do not compete, and each of them leads.
 */

/** No election may have this name: the library keeps other keys under it. */
export const RESERVED_NAME = '.writes';

/** Longest name, and longest prefix, in bytes of UTF-8. Both are limited because etcd keeps every key in memory. */
const LONGEST_NAME_BYTES = 1024;

/** Text that JavaScript makes from an unset variable, as in `${process.env.SERVICE}-leader`, or from an object. */
const UNSET = /undefined|\[object \w+\]|(?<![\p{L}\p{N}])(?:null|NaN)(?![\p{L}\p{N}])/u;

/** @returns the part of the text that comes from an unset variable or an object; undefined if there is none. */
export const unsetPart = (text: string): string | undefined => UNSET.exec(text)?.[0];

/** Template placeholders of shells, Kubernetes, Helm, CI systems and documentation. */
const TEMPLATE =
  /\$\{[^}]*\}?|\$\([^)]*\)?|\$[\p{L}_]\w*|\{\{.*?(?:\}\}|$)|#\{[^}]*\}?|<%.*|%\w+%|<[\w -]+>/u;

/** @returns a template placeholder that was not filled in; undefined if there is none. */
export const templatePart = (text: string): string | undefined => TEMPLATE.exec(text)?.[0];

/** Control characters, characters without width, and line ends. Variation selectors are allowed: emoji use them. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]|(?![\ufe00-\ufe0f])\p{Default_Ignorable_Code_Point}/u;

/** Every blank except the plain space. A no-break space looks the same, but makes another name. */
const ODD_BLANK = /(?! )\p{Zs}|\u2800/u;

const codePoint = (character: string): string =>
  `U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}`;

/** Names that identify neither the service nor the job. */
const COMMON = /^(?:leader|election|leader-election|master|main|primary|lock|default|singleton)$/i;

/** @returns advice if other services are likely to use this name too; undefined otherwise. */
export const commonName = (name: string): string | undefined =>
  COMMON.test(name)
    ? `the name "${name}" says neither the service nor the job: another service with the same name competes with this one, and one of the two idles; choose a name like "billing-nightly-report", or a prefix of your own`
    : undefined;

/** Whether the text is well-formed Unicode. Half a surrogate pair would reach etcd as a different text. */
export const isWellFormed = (text: string): boolean => text.isWellFormed();

/** @returns what is expected instead; undefined if the name is valid. */
export function nameProblem(name: unknown): string | undefined {
  if (typeof name !== 'string' || name === '' || /[/\0]/.test(name))
    return 'a string that is not empty and has no "/" and no NUL';
  if (name === RESERVED_NAME) return 'another name (this one is reserved)';
  return edgeProblem([name]) ?? textProblem(name);
}

/** @returns what is expected instead; undefined if the prefix is valid. */
export function prefixProblem(prefix: unknown): string | undefined {
  if (typeof prefix !== 'string' || prefix.includes('\0') || !(prefix === '' || prefix.endsWith('/')))
    return 'an empty string or one that ends with "/", without NUL';
  if (prefix.includes('//'))
    return 'no "//" ("app//" and "app/" are different prefixes: write "app/" in every replica)';
  const parts = prefix.split('/');
  if (parts.includes(RESERVED_NAME)) return `no part "${RESERVED_NAME}" (it is reserved)`;
  return edgeProblem(parts) ?? textProblem(prefix);
}

function textProblem(text: string): string | undefined {
  if (!isWellFormed(text))
    return 'well-formed Unicode (this contains half of a character that was cut in two)';
  if (Buffer.byteLength(text) > LONGEST_NAME_BYTES)
    return `at most ${LONGEST_NAME_BYTES} bytes of UTF-8 (this is ${Buffer.byteLength(text)}; shorten it, for example to a hash)`;
  const unset = unsetPart(text);
  if (unset !== undefined)
    return `no "${unset}" in it (a variable has no value: set it, or choose another name)`;
  const template = templatePart(text);
  if (template !== undefined)
    return `no "${template}" in it (a template was not filled in: is it a string in backticks, and is the variable set?)`;
  const unseen = UNSEEN.exec(text.replace(JOINED, ''))?.[0] ?? ODD_BLANK.exec(text)?.[0];
  return (
    unseen &&
    `no character that cannot be seen, or that only looks like a blank (this has ${codePoint(unseen)}: a replica without it would compete in another election)`
  );
}

/** A zero-width joiner or non-joiner between two characters. Emoji and some scripts need it. */
const JOINED =
  /(?<=[\p{Extended_Pictographic}\ufe0f\p{M}\p{Lo}])[\u200c\u200d](?=[\p{Extended_Pictographic}\p{Lo}])/gu;

function edgeProblem(parts: readonly string[]): string | undefined {
  if (parts.some((part) => part.trim() !== part))
    return 'no blanks at its edges (a replica without them would compete in another election: trim it)';
  if (parts.some((part) => /^(["'`]).*\1$/su.test(part)))
    return 'no quotes around it (remove them: docker --env-file, for example, keeps quotes)';
  return undefined;
}
