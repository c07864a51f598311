import { type Folded, type Owner, placeOf, totalOf } from './folded.ts';
import { layout } from './flame-layout.ts';
import { functionCosts, type FunctionCost } from './functions.ts';
import { amount, percentOf, type Unit } from './top.ts';
import { type Page, document } from './document.ts';
import { FLAME_STYLE, OWNERS, ROW, boxesOf } from './flame-graph.ts';
import { FLAME_SCRIPT } from './flame-script.ts';
import { type Markup, markup } from './markup.ts';

const HINT =
  'To see the figures of a box, point at it, or select it with Tab or the arrow keys. Click or Enter zooms in, Backspace goes back, Esc shows all, "/" searches.';

/**
 * Renders a flame graph as one page, with zoom, search, figures and a table of the most expensive functions. Without
 * JavaScript the page shows everything, but cannot zoom or search.
 *
 * @param notes the lines under the heading, for example why the profile was taken.
 */
export function renderFlamePage(folded: Folded, title: string, notes: readonly string[] = []): Page {
  const drawn = layout(folded);
  const total = totalOf(folded);
  const unit = folded.types.at(-1)?.unit ?? 'count';
  const owners = (Object.keys(OWNERS) as Owner[]).filter((owner) =>
    drawn.boxes.some(({ frame }) => frame?.owner === owner),
  );
  const took = folded.durationMs > 0 ? ` in ${amount(folded.durationMs * 1e6, 'nanoseconds')}` : '';
  const body = markup`<main>
    <h1>${title}</h1>
    <p class="soft">
      ${amount(total, unit)} of
      ${folded.types.at(-1)?.type ?? ''}${took}${folded.takenAt > 0 ? `, from ${new Date(folded.takenAt).toISOString()}` : ''}
    </p>
    ${notes.map((note) => markup`<p class="note">${note}</p>`)}
    ${bar(owners)}
    <svg
      id="chart"
      class="figure"
      width="100%"
      height="${drawn.rows * ROW}"
      role="group"
      aria-label="Flame graph. Callers are above the functions that they call. A box is as wide as its share of the time."
    >
      ${boxesOf(folded, drawn)}
    </svg>
    <p id="detail" class="figure" role="status" data-hint="${HINT}">${HINT}</p>
    ${drawn.hidden > 0 && markup`<p class="soft">Too narrow to draw: ${drawn.hidden} boxes.</p>`}
    ${costTable(functionCosts(folded).slice(0, 12), total, unit)}
  </main>`;
  return document({ title, body, style: FLAME_STYLE + PAGE_STYLE, script: FLAME_SCRIPT });
}

function bar(owners: readonly Owner[]): Markup {
  return markup`<div class="bar">
      <input
        id="search"
        type="search"
        placeholder="Search functions and files"
        aria-label="Search functions and files"
        disabled
      />
      <span id="found" class="soft" role="status"></span>
      <button id="back" type="button" hidden>Back</button>
      <button id="reset" type="button" hidden>Show all</button>
      <span class="legend"
        >${owners.map(
          (owner) =>
            markup`<span
              ><svg width="12" height="12" class="box ${owner} t0" aria-hidden="true">
                <rect width="100%" height="100%" rx="2" />
              </svg>
              ${OWNERS[owner]}</span
            >`,
        )}</span
      >
    </div>`;
}

function costTable(costs: readonly FunctionCost[], total: number, unit: Unit): Markup {
  return markup`<h2>Most expensive functions</h2>
    <div class="scroll">
      <table>
        <tr>
          <th class="number">Flat</th>
          <th class="number">Flat %</th>
          <th class="number">Cum</th>
          <th class="number">Cum %</th>
          <th>Function</th>
        </tr>
        ${costs.map(
          (cost) =>
            markup`<tr class="figure">
                <td class="number">${amount(cost.flat, unit)}</td>
                <td class="number">${percentOf(cost.flat, total)}</td>
                <td class="number">${amount(cost.cum, unit)}</td>
                <td class="number">${percentOf(cost.cum, total)}</td>
                <td>${cost.frame.name}<br /><span class="soft">${placeOf(cost.frame)}</span></td>
              </tr> `,
        )}
      </table>
    </div>`;
}

const PAGE_STYLE = `
.bar{display:flex;flex-wrap:wrap;gap:8px 16px;align-items:center;margin:16px 0 10px}
.bar input{width:280px;max-width:100%}
h1,.note{overflow-wrap:anywhere}
@media(max-width:480px){main{padding:12px 12px 32px}.legend{margin-left:0}}
.legend{display:flex;flex-wrap:wrap;gap:4px 16px;margin-left:auto;font-size:13px;color:var(--soft)}
.legend svg{vertical-align:-1px}
#chart{display:block;font-size:11px}
#chart .box{cursor:pointer;outline:none}
#chart .box:focus-visible rect,#chart .selected rect{stroke:var(--ink);stroke-width:2px}
#chart .box:hover rect{filter:brightness(1.12)}
.box.caller{opacity:.55}
.searching .box:not(.found) rect{opacity:.35}
.found rect{stroke:var(--mark);stroke-width:2px}
#detail{position:sticky;bottom:0;background:var(--paper);border-top:1px solid var(--line);padding:8px 0;min-height:38px;margin:10px 0 0;overflow-wrap:anywhere}
`;
