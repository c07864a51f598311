/**
 * A small strict reader of XML, enough to know that a browser accepts a picture.
 * @returns the first error, or undefined for well-formed text.
 */
export function xmlProblem(xml: string): string | undefined {
  const bad = /(?![\t\n\r])[\p{Cc}\p{Cs}\ufffe\uffff]/u.exec(xml);
  if (bad) return `a character that XML does not allow at ${bad.index}`;
  const open: string[] = [];
  const body = xml.replace(/^<\?xml [^?]*\?>\s*/, '');
  for (const [piece, close, name, attributes, selfClosed] of body.matchAll(
    /<(\/?)([a-zA-Z][\w-]*)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>|[^<]+|</g,
  )) {
    if (name === undefined) {
      if (piece === '<') return 'a lone <';
      if (open.length === 0 && piece.trim() !== '') return `text outside the root: ${piece.slice(0, 20)}`;
    } else if (close === '/') {
      if (open.pop() !== name) return `</${name}> closes something else`;
    } else if (selfClosed !== '/') {
      open.push(name);
    }
    const text = attributes ?? piece;
    const reference = /&(?!#\d+;|amp;|lt;|gt;|quot;|apos;)/.exec(text);
    if (reference) return `a lone & in ${text.slice(reference.index, reference.index + 20)}`;
  }
  return open.length === 0 ? undefined : `<${open.join('><')}> not closed`;
}
