/**
 * The script of the flame graph's page, as text, because it runs in a browser. It handles clicks, keys and searches.
 * test/integration/diagnostics/pages.test.ts tests it.
 */
export const FLAME_SCRIPT = `
'use strict';
const chart = document.getElementById('chart');
const detail = document.getElementById('detail');
const search = document.getElementById('search');
const found = document.getElementById('found');
const back = document.getElementById('back');
const reset = document.getElementById('reset');
const boxes = Array.from(chart.querySelectorAll('.box'), (element) => ({
  element,
  text: element.querySelector('text'),
  tip: element.querySelector('title').textContent,
  left: parseFloat(element.getAttribute('x')),
  width: parseFloat(element.getAttribute('width')),
  row: parseFloat(element.getAttribute('y')),
}));
for (const box of boxes) {
  box.name = box.tip.slice(0, box.tip.indexOf(': '));
  // Our own line of figures replaces the browser's slow tooltip.
  box.element.querySelector('title').remove();
  box.element.setAttribute('aria-label', box.tip);
  box.element.setAttribute('role', 'button');
  box.element.setAttribute('tabindex', '0');
}
const byElement = new Map(boxes.map((box) => [box.element, box]));
let zoomed = boxes[0];
let selected;
/** The boxes to which the button Back returns. It returns to the last one first. */
const before = [];

function fit() {
  const pixels = chart.getBoundingClientRect().width / 100;
  for (const box of boxes) {
    if (box.element.style.display === 'none') continue;
    const letters = Math.floor((parseFloat(box.element.getAttribute('width')) * pixels - 8) / 6.7);
    const text = box.name.length <= letters ? box.name : letters < 3 ? '' : box.name.slice(0, letters - 1) + '\\u2026';
    if (box.text.textContent !== text) box.text.textContent = text;
  }
}

function zoom(target) {
  zoomed = target;
  const right = target.left + target.width + 1e-6;
  for (const box of boxes) {
    const isCaller = box.row < target.row && box.left <= target.left + 1e-6 && box.left + box.width >= right - 2e-6;
    const isInside = box.row >= target.row && box.left >= target.left - 1e-6 && box.left + box.width <= right;
    box.element.style.display = isCaller || isInside ? '' : 'none';
    box.element.classList.toggle('caller', isCaller);
    const left = isCaller ? 0 : ((box.left - target.left) / target.width) * 100;
    const width = isCaller ? 100 : (box.width / target.width) * 100;
    box.element.setAttribute('x', left + '%');
    box.element.setAttribute('width', width + '%');
  }
  reset.hidden = target === boxes[0];
  back.hidden = before.length === 0;
  fit();
}

function zoomInto(box) {
  if (box === zoomed) return;
  before.push(zoomed);
  zoom(box);
}

function goBack() {
  zoom(before.pop() ?? boxes[0]);
}

function showAll() {
  before.length = 0;
  zoom(boxes[0]);
}

function tell(box) {
  detail.textContent = box ? box.tip.replace('\\n', '  \\u00b7  ') : detail.dataset.hint;
}

function select(box) {
  if (selected) selected.element.classList.remove('selected');
  selected = box;
  box.element.classList.add('selected');
  tell(box);
}

/** Whether two boxes in different rows share a part of the width. */
const overlap = (a, b) => a.left < b.left + b.width - 1e-6 && b.left < a.left + a.width - 1e-6;

/** The box that an arrow key leads to: the caller, the widest called function, or a neighbour in the row. */
function neighbour(box, key) {
  const shown = boxes.filter((each) => each.element.style.display !== 'none');
  const rows = [...new Set(shown.map((each) => each.row))].sort((a, b) => a - b);
  const row = rows[rows.indexOf(box.row) + (key === 'ArrowUp' ? -1 : key === 'ArrowDown' ? 1 : 0)];
  const there = shown.filter((each) => each.row === row);
  if (key === 'ArrowUp') return there.find((each) => overlap(each, box));
  if (key === 'ArrowDown') return there.filter((each) => overlap(each, box)).sort((a, b) => b.width - a.width)[0];
  return there[there.indexOf(box) + (key === 'ArrowLeft' ? -1 : 1)];
}

function look() {
  const wanted = search.value.trim().toLowerCase();
  let share = 0;
  let count = 0;
  let covered = -1;
  const matches = new Set(wanted === '' ? [] : boxes.filter((box) => box.tip.toLowerCase().includes(wanted)));
  chart.classList.toggle('searching', matches.size > 0 || wanted !== '');
  for (const box of boxes) {
    const matched = matches.has(box);
    box.element.classList.toggle('found', matched);
    if (!matched) continue;
    count++;
    // Callers come first. The width of a box includes the boxes below it, so the widths of those boxes are not added again.
    if (box.left >= covered - 1e-6) {
      share += box.width;
      covered = box.left + box.width;
    }
  }
  found.textContent = wanted === '' ? '' : count === 0 ? 'not found' : count + (count === 1 ? ' box, ' : ' boxes, ') + share.toFixed(1) + ' % of the whole';
}

const boxOf = (event) => byElement.get(event.target.closest('.box'));
chart.addEventListener('click', (event) => {
  const box = boxOf(event);
  if (!box) return;
  box.element.focus();
  zoomInto(box);
});
chart.addEventListener('focusin', (event) => {
  const box = boxOf(event);
  if (box) select(box);
});
chart.addEventListener('pointerover', (event) => {
  const box = boxOf(event);
  if (box) tell(box);
});
chart.addEventListener('pointerleave', () => tell(selected));
chart.addEventListener('keydown', (event) => {
  const box = boxOf(event);
  if (!box) return;
  if (event.key === 'Enter' || event.key === ' ') zoomInto(box);
  else if (event.key.startsWith('Arrow')) neighbour(box, event.key)?.element.focus();
  else return;
  event.preventDefault();
});
back.addEventListener('click', goBack);
reset.addEventListener('click', showAll);
search.addEventListener('input', look);
addEventListener('keydown', (event) => {
  const isTyping = document.activeElement === search;
  if (event.key === '/' && !isTyping) {
    event.preventDefault();
    search.focus();
  } else if (event.key === 'Backspace' && !isTyping) {
    goBack();
  } else if (event.key === 'Escape') {
    search.value = '';
    look();
    showAll();
  }
});
addEventListener('resize', () => zoom(zoomed));
search.disabled = false;
zoom(zoomed);
`;
