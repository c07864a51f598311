import { Markup, hashSource, markup } from './markup.ts';

/** One complete page that loads nothing else. */
export interface Page {
  readonly html: string;
  /** The Content-Security-Policy to send. A <meta> in the page repeats it, without `frame-ancestors`, for pages opened as files. */
  readonly policy: string;
}

/** Builds a page. `style` and `script` are not escaped: they must never come from a user. */
export function document(parts: { title: string; body: Markup; style: string; script?: string }): Page {
  const { title, body, script } = parts;
  const style = BASE_STYLE + parts.style;
  const policy = [
    "default-src 'none'",
    `style-src ${hashSource(style)}`,
    `script-src ${script === undefined ? "'none'" : hashSource(script)}`,
    "form-action 'self'",
    "base-uri 'none'",
  ].join('; ');
  // No space may stand between <style> and its text, because the policy contains the hash of the text.
  const page = markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>${title}</title>
<style>${new Markup(style)}</style>
</head>
<body>
${body}
${script !== undefined && new Markup(`<script>${script}</script>`)}
</body>
</html>
`;
  return { html: page.text, policy: `${policy}; frame-ancestors 'none'` };
}

const BASE_STYLE = `
:root{color-scheme:light dark;--paper:#fbfaf8;--card:#fff;--ink:#22201c;--soft:#6b665d;--line:#e4e0d8;--link:#9a4a08;--good:#1d7a46;--bad:#b3261e;--warn:#8a5a00;--mark:#c026d3}
@media(prefers-color-scheme:dark){:root{--paper:#17161a;--card:#201f24;--ink:#ece9e2;--soft:#a29c90;--line:#35333a;--link:#f2a65a;--good:#5fd08f;--bad:#ff8a80;--warn:#f0c05a;--mark:#e879f9}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1280px;margin:0 auto;padding:24px 24px 48px}
h1{font-size:22px;line-height:1.25;margin:0 0 4px;letter-spacing:-.01em}
h2{font-size:16px;margin:32px 0 8px}
p{margin:4px 0}
a{color:var(--link);text-underline-offset:2px}
a:focus-visible,button:focus-visible,input:focus-visible{outline:2px solid var(--link);outline-offset:2px}
code,pre,.figure{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:13px}
.soft{color:var(--soft)}
table{border-collapse:collapse;width:100%}
th{text-align:left;font-weight:600;font-size:13px;color:var(--soft)}
th,td{padding:6px 12px 6px 0;border-bottom:1px solid var(--line);vertical-align:top}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.scroll{overflow-x:auto}
input,button{font:inherit;color:inherit;background:var(--card);border:1px solid var(--line);border-radius:6px;padding:4px 10px}
button{cursor:pointer}
button:hover{border-color:var(--link)}
`;
