import { createHash } from 'node:crypto';

/** Text that `markup` does not escape. */
export class Markup {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/**
 * Joins the parts of a template and its values. Every value that is not `Markup` is escaped. Lists are joined. `undefined`
 * and `false` print nothing.
 */
export function markup(parts: TemplateStringsArray, ...values: readonly Printable[]): Markup {
  return new Markup(parts.reduce((text, part, index) => text + print(values[index - 1]) + part));
}

type Printable = Markup | string | number | bigint | boolean | undefined | readonly Printable[];

function print(value: Printable): string {
  if (value instanceof Markup) return value.text;
  if (Array.isArray(value)) return (value as readonly Printable[]).map(print).join('');
  return value === undefined || value === false ? '' : escapeMarkup(String(value as string | number));
}

/** Safe inside an element and inside a quoted attribute, in HTML and in XML. */
export const escapeMarkup = (text: string): string =>
  text
    .replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`)
    // XML cannot contain most of these characters, not even as references.
    .replace(/(?![\t\n\r])[\p{Cc}\p{Cs}\ufffe\uffff]/gu, '\ufffd');

/** How a Content-Security-Policy names an inline script or style. */
export const hashSource = (inline: string): string =>
  `'sha256-${createHash('sha256').update(inline).digest('base64')}'`;
