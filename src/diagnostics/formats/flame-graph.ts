import { type Folded, type Frame, type Owner, placeOf } from './folded.ts';
import { type Box, type Layout, layout } from './flame-layout.ts';
import { amount, percentOf } from './top.ts';
import { Markup, markup } from './markup.ts';

/** Height of a row of boxes, in pixels. */
export const ROW = 19;
/** The page width for which texts are shortened, in pixels. In a browser, the script shortens them for the real width. */
const WIDTH = 1200;
/** Width of a letter, in pixels. */
const LETTER = 6.7;

/**
 * Draws a flame graph as one SVG picture. Callers are above the functions that they call. A box is as wide as its share of
 * the time. Its tooltip has the figures.
 */
export function renderFlameSvg(folded: Folded, title: string): string {
  const drawn = layout(folded);
  const height = drawn.rows * ROW + 34;
  const picture = markup`<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace" font-size="11">
<style>${new Markup(FLAME_STYLE + PICTURE_STYLE)}</style>
<rect class="paper" width="100%" height="100%"/>
<text class="title" x="2" y="19">${title}</text>
<svg y="32" width="100%" height="${drawn.rows * ROW}">${boxesOf(folded, drawn)}</svg>
</svg>
`;
  return picture.text;
}

/** Draws every box as a small SVG that clips its text. Positions are percentages, to fit any page width. */
export function boxesOf(folded: Folded, { boxes, total }: Layout): Markup[] {
  const unit = folded.types.at(-1)?.unit ?? 'count';
  return boxes.map((box) => {
    const name = box.frame?.name ?? 'all';
    return markup`<svg class="box ${box.frame?.owner ?? 'all'} t${tintOf(box.frame)}" x="${percent(box.left)}" y="${box.depth * ROW}" width="${percent(box.width)}" height="${ROW - 1}"><title>${tooltip(box, total, unit)}</title><rect width="100%" height="100%" rx="2"/><text x="4" y="13">${fit(name, box.width)}</text></svg>
`;
  });
}

function tooltip({ frame, weight, self }: Box, total: number, unit: Folded['types'][number]['unit']): string {
  const share = `${percentOf(weight, total).trim()} of the profile`;
  if (frame === undefined) return `all: ${amount(weight, unit)}, the whole profile`;
  const own =
    self <= 0
      ? 'none of it in the function itself'
      : self < weight
        ? `${amount(self, unit)} of it in the function itself`
        : 'all of it in the function itself';
  return `${frame.name}: ${amount(weight, unit)}, ${share}; ${own}\n${placeOf(frame) || OWNERS[frame.owner]}`;
}

/** The owners, as the legend names them. */
export const OWNERS: Readonly<Record<Owner, string>> = {
  app: 'your code',
  dep: 'packages',
  node: 'Node.js',
  vm: 'V8 and native code',
};

const percent = (share: number): string => `${Number((share * 100).toFixed(4))}%`;

const fit = (name: string, width: number): string => {
  const letters = Math.floor((width * WIDTH - 8) / LETTER);
  if (name.length <= letters) return name;
  return letters < 3 ? '' : `${name.slice(0, letters - 1)}…`;
};

/** The shade depends on the name, so neighbours usually differ, and one function always looks the same. */
const tintOf = (frame: Frame | undefined): number => {
  let sum = 0;
  for (const letter of frame?.name ?? '') sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) % 65_521;
  return sum % 4;
};

/** The contrast of text and box is at least 4.5 : 1, in light mode and in dark mode. */
export const FLAME_STYLE = `
.box rect{stroke:none}
.box text{fill:#231a10;pointer-events:none}
.all rect{fill:#d9d5cc}
.app.t0 rect{fill:#ff9d5c}.app.t1 rect{fill:#ff8f52}.app.t2 rect{fill:#fba868}.app.t3 rect{fill:#ff8566}
.dep.t0 rect{fill:#f7d774}.dep.t1 rect{fill:#f2cd62}.dep.t2 rect{fill:#f9df8d}.dep.t3 rect{fill:#efd27a}
.node.t0 rect{fill:#9fd3b4}.node.t1 rect{fill:#8fcaa8}.node.t2 rect{fill:#aedbc0}.node.t3 rect{fill:#9acdb9}
.vm.t0 rect{fill:#b9c4d6}.vm.t1 rect{fill:#aebbd0}.vm.t2 rect{fill:#c4cddc}.vm.t3 rect{fill:#b4bfd9}
@media(prefers-color-scheme:dark){
.box text{fill:#fff6ea}
.all rect{fill:#45424c}
.app.t0 rect{fill:#b34a12}.app.t1 rect{fill:#a8430e}.app.t2 rect{fill:#ad5016}.app.t3 rect{fill:#b03f24}
.dep.t0 rect{fill:#7d6210}.dep.t1 rect{fill:#745a0c}.dep.t2 rect{fill:#866a16}.dep.t3 rect{fill:#7a5f1c}
.node.t0 rect{fill:#2b6a4b}.node.t1 rect{fill:#266144}.node.t2 rect{fill:#317253}.node.t3 rect{fill:#2a6657}
.vm.t0 rect{fill:#4a5870}.vm.t1 rect{fill:#435068}.vm.t2 rect{fill:#516079}.vm.t3 rect{fill:#46527a}
}
`;

const PICTURE_STYLE = `
.paper{fill:#fbfaf8}
.title{fill:#22201c;font:600 14px system-ui,"DejaVu Sans",sans-serif}
@media(prefers-color-scheme:dark){.paper{fill:#17161a}.title{fill:#ece9e2}}
`;
