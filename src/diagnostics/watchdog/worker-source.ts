/**
 * What the watchdog's worker runs, as text. Made from worker.ts and all it imports; never edited by hand: see
 * test/unit/diagnostics/worker-source.test.ts, which fails when it is out of date and says how to write it anew.
 */
export const workerSource: string = `// src/diagnostics/errors.ts
var DiagnosticsError = class extends Error {
  name = "DiagnosticsError";
  code;
  constructor(code, message, options) {
    super(message, options);
    this.code = code;
  }
};
var messageOf = (thrown) => thrown instanceof Error ? thrown.message : String(thrown);

// src/diagnostics/http/server.ts
var import_node_http = require("node:http");

// src/diagnostics/http/rules.ts
var import_node_crypto = require("node:crypto");
var import_node_net = require("node:net");
var text = (status, body, headers = {}) => ({
  status,
  headers: { "content-type": "text/plain; charset=utf-8", ...headers },
  body: \`\${body}
\`
});
function refusal({ method, url, headers }, rules) {
  if (method !== "GET" && method !== "HEAD") {
    return text(405, \`\${method} is not for this: it only shows. Use GET or HEAD.\`, { allow: "GET, HEAD" });
  }
  const path = url.split("?", 1)[0] ?? "";
  if (url.length > 2048) return text(414, "the address is longer than 2048 characters");
  if (!/^\\/[\\w\\-./]*$/.test(path) || path.split("/").includes("..")) {
    return text(400, 'the path may hold letters, digits, "-", "_", "." and "/", and no ".." step');
  }
  if (!isAllowedHost(headers.host, rules.allowedHosts)) {
    return text(403, "called by a host name that is not allowed (DNS rebinding); list it in \`allowedHosts\`");
  }
  if (headers["sec-fetch-site"] === "cross-site" && headers["sec-fetch-mode"] !== "navigate") {
    return text(403, "asked for by a page of another site");
  }
  if (path !== "/healthz" && rules.token !== void 0 && !isAuthorized(headers.authorization, rules.token)) {
    const challenge = { "www-authenticate": 'Basic realm="etcd-election", charset="UTF-8", Bearer' };
    return text(
      401,
      "a token is needed: Authorization: Bearer <token>, or any user name with the token as password",
      challenge
    );
  }
  return void 0;
}
function isAllowedHost(host, allowed) {
  const [, bracketed, plain] = /^(?:\\[([\\da-f:.]+)\\]|([^\\s:/@[\\]]+))(?::\\d{1,5})?$/i.exec(host ?? "") ?? [];
  const name = (bracketed ?? plain ?? "").toLowerCase();
  return (0, import_node_net.isIP)(name) !== 0 || name === "localhost" || name !== "" && allowed.includes(name);
}
function isAuthorized(authorization, token) {
  const [, scheme = "", value = ""] = /^(bearer|basic) +(\\S+)$/i.exec(authorization ?? "") ?? [];
  if (scheme.toLowerCase() !== "basic") return isSame(value, token);
  const decoded = Buffer.from(value, "base64").toString();
  return isSame(decoded.slice(decoded.indexOf(":") + 1), token);
}
var isSame = (given, wanted) => (0, import_node_crypto.timingSafeEqual)((0, import_node_crypto.createHash)("sha256").update(given).digest(), (0, import_node_crypto.createHash)("sha256").update(wanted).digest());
function secondsOf(url, maxSeconds) {
  const given = new URLSearchParams(url.split("?")[1] ?? "").getAll("seconds");
  if (given.length === 0) return Math.min(30, maxSeconds);
  const [value = ""] = given;
  const seconds = /^\\d{1,9}(?:\\.\\d{1,6})?$/.test(value) ? Number(value) : NaN;
  if (given.length === 1 && seconds > 0 && seconds <= maxSeconds) return seconds;
  return text(400, \`seconds: expected one number above 0, at most \${maxSeconds}\`);
}
var SAFE_HEADERS = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY"
};

// src/diagnostics/http/routes.ts
var import_promises = require("node:fs/promises");

// src/diagnostics/formats/folded.ts
var functionKey = (frame) => \`\${frame.name}
\${frame.file}
\${frame.start}\`;
var placeOf = ({ file, start }) => file === "" || start <= 0 ? file : \`\${file}:\${start}\`;
var totalOf = (folded) => folded.stacks.reduce((sum, stack) => sum + weightOf(stack), 0);
var byFirstFigure = (folded) => ({
  ...folded,
  types: folded.types.slice(0, 1),
  stacks: folded.stacks.map(({ frames, values }) => ({ frames, values: values.slice(0, 1) }))
});
var weightOf = (stack) => stack.values.at(-1) ?? 0;
function frameOf(raw) {
  const file = clean(pathOf(raw.url), 1024);
  const place = file.slice(file.lastIndexOf("/") + 1) + (raw.start > 0 ? \`:\${raw.start}\` : "");
  const name = clean(raw.name, 160) || (place === "" ? "(anonymous)" : \`(anonymous \${place})\`);
  return { name, file, start: raw.start, line: raw.line, owner: ownerOf(file) };
}
function pathOf(url) {
  if (!url.startsWith("file://")) return url;
  try {
    return decodeURIComponent(url.slice("file://".length));
  } catch {
    return url;
  }
}
function ownerOf(file) {
  if (file === "") return "vm";
  if (file.startsWith("node:")) return "node";
  return /[/\\\\]node_modules[/\\\\]|^wasm:/.test(file) ? "dep" : "app";
}
var clean = (text2, atMost) => text2.slice(0, atMost).replace(/[\\p{Cc}\\p{Cs}\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069\\ufffe\\uffff]/gu, "�");

// src/diagnostics/formats/campaigns.ts
var foldCampaigns = (guards2, takenAt = 0) => ({
  types: [
    { type: "rounds", unit: "count" },
    { type: "delay", unit: "nanoseconds" }
  ],
  stacks: guards2.flatMap(
    ({ election: election2, callSites }) => callSites.map(({ stack, rounds, heldMs }) => ({
      frames: [
        ...stack.map(parseCallSite),
        frameOf({ name: \`election \${election2}\`, url: "", start: 0, line: 0 })
      ],
      values: [rounds, heldMs * 1e6]
    }))
  ),
  durationMs: 0,
  takenAt
});
function parseCallSite(line) {
  const text2 = line.trim().replace(/^at /, "").replace(/^async /, "");
  const [, name = "", place = ""] = /^(.*?) \\((.*)\\)$/.exec(text2) ?? (/:\\d+:\\d+$/.test(text2) ? ["", "", text2] : ["", text2, ""]);
  const [, url = place, at = "0"] = /^(.*?):(\\d+)(?::\\d+)?$/.exec(place) ?? [];
  return frameOf({ name, url, start: Number(at), line: Number(at) });
}

// src/diagnostics/formats/flame-layout.ts
function layout(folded, atMost = 4e3) {
  const root = treeOf(folded);
  const narrowest = narrowestOf(root, atMost);
  const boxes = [];
  let hidden = 0;
  const todo = [{ branch: root, depth: 0, left: 0 }];
  for (let next = todo.pop(); next !== void 0; next = todo.pop()) {
    const { branch, depth, left } = next;
    const share = (weight) => root.weight === 0 ? 1 : weight / root.weight;
    boxes.push({
      frame: branch.frame,
      depth,
      left,
      width: share(branch.weight),
      weight: branch.weight,
      self: branch.self
    });
    const calls = [...branch.calls.values()].sort(
      (a, b) => (a.frame?.name ?? "") < (b.frame?.name ?? "") ? -1 : 1
    );
    let at = left;
    const shown = [];
    for (const call of calls) {
      if (call.weight > narrowest) shown.push({ branch: call, depth: depth + 1, left: at });
      else hidden++;
      at += share(call.weight);
    }
    todo.push(...shown.reverse());
  }
  return {
    boxes,
    rows: boxes.reduce((rows, { depth }) => Math.max(rows, depth + 1), 0),
    total: root.weight,
    hidden
  };
}
function treeOf(folded) {
  const root = { frame: void 0, weight: 0, self: 0, calls: /* @__PURE__ */ new Map() };
  for (const stack of folded.stacks) {
    const weight = weightOf(stack);
    if (weight <= 0) continue;
    root.weight += weight;
    let branch = root;
    for (const frame of stack.frames.toReversed()) {
      const key = functionKey(frame);
      const call = branch.calls.get(key) ?? { frame, weight: 0, self: 0, calls: /* @__PURE__ */ new Map() };
      branch.calls.set(key, call);
      call.weight += weight;
      branch = call;
    }
    branch.self += weight;
  }
  return root;
}
function narrowestOf(root, atMost) {
  const weights = [];
  const todo = [root];
  for (let branch = todo.pop(); branch !== void 0; branch = todo.pop()) {
    weights.push(branch.weight);
    for (const call of branch.calls.values()) todo.push(call);
  }
  return weights.length <= atMost ? 0 : weights.sort((a, b) => b - a)[atMost] ?? 0;
}

// src/diagnostics/formats/functions.ts
function functionCosts(folded) {
  const costs = /* @__PURE__ */ new Map();
  for (const stack of folded.stacks) {
    const weight = weightOf(stack);
    const seen = /* @__PURE__ */ new Set();
    for (const [depth, frame] of stack.frames.entries()) {
      const key = functionKey(frame);
      const cost = costs.get(key) ?? { frame, hottest: 0, flat: 0, cum: 0 };
      costs.set(key, cost);
      if (depth === 0) {
        cost.flat += weight;
        if (weight > cost.hottest) {
          cost.hottest = weight;
          cost.frame = frame;
        }
      }
      if (!seen.has(key)) cost.cum += weight;
      seen.add(key);
    }
  }
  return [...costs.values()].sort((a, b) => b.flat - a.flat || b.cum - a.cum || (a.frame.name < b.frame.name ? -1 : 1)).map(({ frame, flat, cum }) => ({ frame, flat, cum }));
}

// src/diagnostics/formats/top.ts
function renderTop(folded, rows = 20) {
  const unit = folded.types.at(-1)?.unit ?? "count";
  const total = totalOf(folded);
  const costs = functionCosts(folded);
  const shown = costs.slice(0, rows);
  const sum = shown.reduce((flat, cost) => flat + cost.flat, 0);
  const share = folded.durationMs > 0 ? \` (\${percentOf(total, folded.durationMs * 1e6).trim()})\` : "";
  return [
    \`Type: \${folded.types.at(-1)?.type ?? ""}\`,
    ...folded.takenAt > 0 ? [\`Time: \${new Date(folded.takenAt).toISOString()}\`] : [],
    ...folded.durationMs > 0 ? [
      \`Duration: \${amount(folded.durationMs * 1e6, "nanoseconds")}, Total samples = \${amount(total, unit)}\${share}\`
    ] : [\`Total = \${amount(total, unit)}\`],
    \`Showing nodes accounting for \${amount(sum, unit)}, \${percentOf(sum, total).trim()} of \${amount(total, unit)} total\`,
    ...shown.length < costs.length ? [\`Showing top \${shown.length} nodes out of \${costs.length}\`] : [],
    "      flat  flat%   sum%        cum   cum%",
    ...shown.map((cost, index) => row(cost, shown.slice(0, index + 1), total, unit)),
    ""
  ].join("\\n");
}
function row(cost, upToHere, total, unit) {
  const sum = upToHere.reduce((flat, each) => flat + each.flat, 0);
  const figures = [
    amount(cost.flat, unit).padStart(10),
    percentOf(cost.flat, total),
    percentOf(sum, total),
    amount(cost.cum, unit).padStart(10),
    percentOf(cost.cum, total)
  ];
  return \`\${figures.join(" ")}  \${cost.frame.name} \${placeOf(cost.frame)}\`.trimEnd();
}
function amount(value, unit) {
  if (unit === "count") return String(Math.round(value));
  const [size, name] = SCALE.find(([least]) => value >= least) ?? [1, "ns"];
  return \`\${Number((value / size).toFixed(2))}\${value === 0 ? "" : name}\`;
}
var SCALE = [
  [6e10, "mins"],
  [1e9, "s"],
  [1e6, "ms"],
  [1e3, "µs"]
];
function percentOf(value, total) {
  const ratio = total === 0 ? 0 : value / total * 100;
  if (ratio >= 99.95 && ratio <= 100.05) return "  100%";
  return \`\${ratio >= 1 ? ratio.toFixed(2) : String(Number(ratio.toPrecision(2)))}%\`.padStart(6);
}

// src/diagnostics/formats/markup.ts
var import_node_crypto2 = require("node:crypto");
var Markup = class {
  text;
  constructor(text2) {
    this.text = text2;
  }
};
function markup(parts, ...values) {
  return new Markup(parts.reduce((text2, part, index) => text2 + print(values[index - 1]) + part));
}
function print(value) {
  if (value instanceof Markup) return value.text;
  if (Array.isArray(value)) return value.map(print).join("");
  return value === void 0 || value === false ? "" : escapeMarkup(String(value));
}
var escapeMarkup = (text2) => text2.replace(/[&<>"']/g, (sign) => \`&#\${sign.charCodeAt(0)};\`).replace(/(?![\\t\\n\\r])[\\p{Cc}\\p{Cs}\\ufffe\\uffff]/gu, "�");
var hashSource = (inline) => \`'sha256-\${(0, import_node_crypto2.createHash)("sha256").update(inline).digest("base64")}'\`;

// src/diagnostics/formats/document.ts
function document(parts) {
  const { title, body, script } = parts;
  const style = BASE_STYLE + parts.style;
  const policy = [
    "default-src 'none'",
    \`style-src \${hashSource(style)}\`,
    \`script-src \${script === void 0 ? "'none'" : hashSource(script)}\`,
    "form-action 'self'",
    "base-uri 'none'"
  ].join("; ");
  const page2 = markup\`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="\${policy}">
<title>\${title}</title>
<style>\${new Markup(style)}</style>
</head>
<body>
\${body}
\${script !== void 0 && new Markup(\`<script>\${script}</script>\`)}
</body>
</html>
\`;
  return { html: page2.text, policy: \`\${policy}; frame-ancestors 'none'\` };
}
var BASE_STYLE = \`
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
\`;

// src/diagnostics/formats/flame-graph.ts
var ROW = 19;
var WIDTH = 1200;
var LETTER = 6.7;
function boxesOf(folded, { boxes, total }) {
  const unit = folded.types.at(-1)?.unit ?? "count";
  return boxes.map((box) => {
    const name = box.frame?.name ?? "all";
    return markup\`<svg class="box \${box.frame?.owner ?? "all"} t\${tintOf(box.frame)}" x="\${percent(box.left)}" y="\${box.depth * ROW}" width="\${percent(box.width)}" height="\${ROW - 1}"><title>\${tooltip(box, total, unit)}</title><rect width="100%" height="100%" rx="2"/><text x="4" y="13">\${fit(name, box.width)}</text></svg>
\`;
  });
}
function tooltip({ frame, weight, self }, total, unit) {
  const figures = \`\${amount(weight, unit)}, \${percentOf(weight, total).trim()}\`;
  const own = self > 0 && self < weight ? \`, \${amount(self, unit)} of it by itself\` : "";
  return frame === void 0 ? \`all: \${figures}\` : \`\${frame.name}: \${figures}\${own}
\${placeOf(frame) || OWNERS[frame.owner]}\`;
}
var OWNERS = {
  app: "your code",
  dep: "packages",
  node: "Node.js",
  vm: "V8 and native code"
};
var percent = (share) => \`\${Number((share * 100).toFixed(4))}%\`;
var fit = (name, width) => {
  const letters = Math.floor((width * WIDTH - 8) / LETTER);
  if (name.length <= letters) return name;
  return letters < 3 ? "" : \`\${name.slice(0, letters - 1)}…\`;
};
var tintOf = (frame) => {
  let sum = 0;
  for (const letter of frame?.name ?? "") sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) % 65521;
  return sum % 4;
};
var FLAME_STYLE = \`
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
\`;

// src/diagnostics/formats/flame-script.ts
var FLAME_SCRIPT = \`
'use strict';
const chart = document.getElementById('chart');
const detail = document.getElementById('detail');
const search = document.getElementById('search');
const found = document.getElementById('found');
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
}
const byElement = new Map(boxes.map((box) => [box.element, box]));
let zoomed = boxes[0];

function fit() {
  const pixels = chart.getBoundingClientRect().width / 100;
  for (const box of boxes) {
    if (box.element.style.display === 'none') continue;
    const letters = Math.floor((parseFloat(box.element.getAttribute('width')) * pixels - 8) / 6.7);
    const text = box.name.length <= letters ? box.name : letters < 3 ? '' : box.name.slice(0, letters - 1) + '\\\\u2026';
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
  fit();
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
    // Boxes come in order, callers first: what stands inside a counted box is counted already.
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
  if (box) zoom(box);
});
chart.addEventListener('pointerover', (event) => {
  const box = boxOf(event);
  if (box) detail.textContent = box.tip.replace('\\\\n', '  \\\\u00b7  ');
});
chart.addEventListener('pointerleave', () => {
  detail.textContent = detail.dataset.hint;
});
reset.addEventListener('click', () => zoom(boxes[0]));
search.addEventListener('input', look);
addEventListener('keydown', (event) => {
  if (event.key === '/' && document.activeElement !== search) {
    event.preventDefault();
    search.focus();
  } else if (event.key === 'Escape') {
    search.value = '';
    look();
    zoom(boxes[0]);
  }
});
addEventListener('resize', () => zoom(zoomed));
search.disabled = false;
zoom(zoomed);
\`;

// src/diagnostics/formats/flame-page.ts
var HINT = 'Hover a box for its figures, click it to zoom in. "/" searches, Esc resets.';
function renderFlamePage(folded, title, notes = []) {
  const drawn = layout(folded);
  const total = totalOf(folded);
  const unit = folded.types.at(-1)?.unit ?? "count";
  const owners = Object.keys(OWNERS).filter(
    (owner) => drawn.boxes.some(({ frame }) => frame?.owner === owner)
  );
  const took = folded.durationMs > 0 ? \` in \${amount(folded.durationMs * 1e6, "nanoseconds")}\` : "";
  const body = markup\`<main>
    <h1>\${title}</h1>
    <p class="soft">
      \${amount(total, unit)} of
      \${folded.types.at(-1)?.type ?? ""}\${took}\${folded.takenAt > 0 ? \`, from \${new Date(folded.takenAt).toISOString()}\` : ""}
    </p>
    \${notes.map((note) => markup\`<p>\${note}</p>\`)}
    <div class="bar">
      <input
        id="search"
        type="search"
        placeholder="Search functions and files"
        aria-label="Search functions and files"
        disabled
      />
      <span id="found" class="soft" role="status"></span>
      <button id="reset" type="button" hidden>Reset zoom</button>
      <span class="legend"
        >\${owners.map(
    (owner) => markup\`<span
              ><svg width="12" height="12" class="box \${owner} t0" aria-hidden="true">
                <rect width="100%" height="100%" rx="2" />
              </svg>
              \${OWNERS[owner]}</span
            >\`
  )}</span
      >
    </div>
    <svg
      id="chart"
      class="figure"
      width="100%"
      height="\${drawn.rows * ROW}"
      role="img"
      aria-label="Flame graph: callers above, what they call below, as wide as their share"
    >
      \${boxesOf(folded, drawn)}
    </svg>
    <p id="detail" class="figure" data-hint="\${HINT}">\${HINT}</p>
    \${drawn.hidden > 0 && markup\`<p class="soft">\${drawn.hidden} boxes were too narrow to draw.</p>\`}
    <h2>Dearest functions</h2>
    <div class="scroll">
      <table>
        <tr>
          <th class="number">Flat</th>
          <th class="number">Flat %</th>
          <th class="number">Cum</th>
          <th class="number">Cum %</th>
          <th>Function</th>
        </tr>
        \${functionCosts(folded).slice(0, 12).map(
    (cost) => markup\`<tr class="figure">
                <td class="number">\${amount(cost.flat, unit)}</td>
                <td class="number">\${percentOf(cost.flat, total)}</td>
                <td class="number">\${amount(cost.cum, unit)}</td>
                <td class="number">\${percentOf(cost.cum, total)}</td>
                <td>\${cost.frame.name}<br /><span class="soft">\${placeOf(cost.frame)}</span></td>
              </tr> \`
  )}
      </table>
    </div>
  </main>\`;
  return document({ title, body, style: FLAME_STYLE + PAGE_STYLE, script: FLAME_SCRIPT });
}
var PAGE_STYLE = \`
.bar{display:flex;flex-wrap:wrap;gap:8px 16px;align-items:center;margin:16px 0 10px}
.bar input{width:280px}
.legend{display:flex;flex-wrap:wrap;gap:4px 16px;margin-left:auto;font-size:13px;color:var(--soft)}
.legend svg{vertical-align:-1px}
#chart{display:block;font-size:11px}
#chart .box{cursor:pointer}
#chart .box:hover rect{filter:brightness(1.12)}
.box.caller{opacity:.55}
.searching .box:not(.found) rect{opacity:.35}
.found rect{stroke:var(--mark);stroke-width:2px}
#detail{position:sticky;bottom:0;background:var(--paper);border-top:1px solid var(--line);padding:8px 0;min-height:38px;margin:10px 0 0;overflow-wrap:anywhere}
\`;

// src/diagnostics/formats/fold.ts
function fold(profile, takenAt = 0) {
  const parents = parentsOf(profile.nodes);
  const starts = startsOf(profile.nodes);
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  const stacks = [];
  for (const [id, { samples, micros }] of selfTimes(profile)) {
    const node = nodes.get(id);
    if (node === void 0 || isIdle(node)) continue;
    const frames = framesOf(node, nodes, parents, starts);
    if (frames.length > 0) stacks.push({ frames, values: [samples, micros * 1e3] });
  }
  return {
    types: [
      { type: "samples", unit: "count" },
      { type: "cpu", unit: "nanoseconds" }
    ],
    stacks,
    durationMs: Math.max(0, profile.endTime - profile.startTime) / 1e3,
    takenAt
  };
}
function selfTimes(profile) {
  const { samples = [], timeDeltas = [] } = profile;
  const times = /* @__PURE__ */ new Map();
  let at = profile.startTime;
  let counted = at;
  for (const [index, id] of samples.entries()) {
    at += timeDeltas[index] ?? 0;
    counted = Math.min(Math.max(counted, at), profile.endTime);
    const next = Math.min(at + (timeDeltas[index + 1] ?? Infinity), profile.endTime);
    const time = times.get(id) ?? { samples: 0, micros: 0 };
    time.samples++;
    time.micros += Math.max(0, Math.round(next - counted));
    times.set(id, time);
  }
  return times;
}
function parentsOf(nodes) {
  const parents = /* @__PURE__ */ new Map();
  for (const node of nodes) for (const child of node.children ?? []) parents.set(child, node.id);
  return parents;
}
function framesOf(leaf, nodes, parents, starts) {
  const frames = [];
  for (let node = leaf; node !== void 0 && frames.length < nodes.size; ) {
    if (node.callFrame.functionName !== "(root)") frames.push(frameOfNode(node, node === leaf, starts));
    const parent = parents.get(node.id);
    node = parent === void 0 ? void 0 : nodes.get(parent);
  }
  return frames;
}
function frameOfNode(node, isLeaf, starts) {
  const { functionName, url, lineNumber } = node.callFrame;
  const start = lineNumber + 1;
  return frameOf({ name: functionName, url, start, line: isLeaf ? hottestLine(node, starts) : start });
}
function startsOf(nodes) {
  const starts = /* @__PURE__ */ new Map();
  for (const { callFrame } of nodes) {
    const lines = starts.get(callFrame.url) ?? [];
    starts.set(callFrame.url, lines);
    lines.push(callFrame.lineNumber + 1);
  }
  for (const lines of starts.values()) lines.sort((a, b) => a - b);
  return starts;
}
function hottestLine({ callFrame, positionTicks = [] }, starts) {
  const start = callFrame.lineNumber + 1;
  const end = starts.get(callFrame.url)?.find((line) => line > start) ?? start + LONG_FUNCTION;
  const own = positionTicks.filter(({ line }) => line >= start && line < end);
  return own.reduce((best, tick) => tick.ticks > best.ticks ? tick : best, { line: start, ticks: 0 }).line;
}
var LONG_FUNCTION = 100;
var isIdle = (node) => node.callFrame.functionName === "(idle)" && node.callFrame.url === "";

// src/diagnostics/formats/suspects.ts
function suspects(folded, atMost = 3) {
  const total = totalOf(folded);
  const owner = ["app", "dep", "node"].find(
    (each) => folded.stacks.some(({ frames }) => frames.some((frame) => frame.owner === each))
  );
  if (owner === void 0 || total === 0) return [];
  const blames = blame(folded, owner);
  const whole = folded.stacks.reduce((sum, stack) => sum + (isOf(stack, owner) ? weightOf(stack) : 0), 0);
  const rank = ({ weight, cum }) => weight >= total * WORTH_NAMING ? 0 : cum >= whole * NEARLY_ALL ? 1 : 2;
  const percent2 = (part) => Math.round(part / total * 1e3) / 10;
  const named = blames.filter(({ cum }) => cum >= total * WORTH_A_WORD);
  return (named.length > 0 ? named : blames).sort((a, b) => rank(a) - rank(b) || (rank(a) === 1 ? b.depth - a.depth : b.weight - a.weight)).slice(0, atMost).map(({ frame: { name, file, start, line }, weight, cum }) => ({
    function: name,
    file,
    line: start,
    ...line !== start && { hotLine: line },
    percent: percent2(weight),
    cumPercent: percent2(cum),
    owner
  }));
}
var WORTH_NAMING = 0.05;
var WORTH_A_WORD = 0.01;
var NEARLY_ALL = 0.9;
var isOf = (stack, owner) => stack.frames.some((frame) => frame.owner === owner);
function blame(folded, owner) {
  const blames = /* @__PURE__ */ new Map();
  for (const stack of folded.stacks) {
    const weight = weightOf(stack);
    const own = stack.frames.filter((frame) => frame.owner === owner);
    const seen = /* @__PURE__ */ new Set();
    for (const [above, frame] of own.entries()) {
      const key = functionKey(frame);
      if (seen.has(key)) continue;
      seen.add(key);
      const entry = blames.get(key) ?? { frame, hottest: 0, weight: 0, cum: 0, depth: 0 };
      blames.set(key, entry);
      entry.cum += weight;
      entry.depth = Math.max(entry.depth, own.length - above);
      if (above === 0) entry.weight += weight;
      if (frame === stack.frames[0] && weight > entry.hottest) {
        entry.hottest = weight;
        entry.frame = frame;
      }
    }
  }
  return [...blames.values()];
}
function describeSuspect({ percent: percent2, cumPercent, ...suspect }) {
  const hottest = suspect.hotLine === void 0 ? "" : \`, hottest line \${suspect.hotLine}\`;
  const place = suspect.file === "" ? "" : \` (\${placeOf({ file: suspect.file, start: suspect.line })}\${hottest})\`;
  const share = percent2 >= WORTH_NAMING * 100 ? \`\${percent2} %\` : \`\${cumPercent} % with what it calls\`;
  return \`\${suspect.function}\${place} \${share}\`;
}

// src/diagnostics/http/index-page.ts
function renderIndex(snapshot, isTurning, runaways, maxSeconds) {
  const body = markup\`<main>
<header><h1>etcd-election <span class="soft">process \${process.pid}</span></h1>
\${isTurning ? markup\`<p class="badge good">main thread turns</p>\` : markup\`<p class="badge bad">main thread does not answer</p>\`}</header>
\${!isTurning && markup\`<p class="alarm">Timers, sockets and renewals of the main thread stand still. What is shown here is what it told last. Take a profile: it names the function that spins.</p>\`}
<h2>Elections</h2>
\${elections(snapshot)}
<h2>Profiles of the main thread</h2>
\${profiles(maxSeconds)}
<h2>Last runaways</h2>
\${runaways.length === 0 ? markup\`<p class="soft">None since this process started.</p>\` : runaways.map(runaway)}
<h2>Loop guard</h2>
\${guards(snapshot.guards)}
<footer class="soft"><p>\${snapshot.at === 0 ? "Nothing heard from the main thread yet." : \`As of \${new Date(snapshot.at).toISOString()}.\`}
<a href="../election">The same as JSON</a> · <a href="../../metrics">Metrics</a> · <a href="../../healthz">Health</a></p></footer>
</main>\`;
  return document({ title: \`etcd-election, process \${process.pid}\`, body, style: STYLE });
}
function elections({ elections: shown, electionCount }) {
  if (electionCount === 0) return markup\`<p class="soft">Nobody stands in an election here.</p>\`;
  return markup\`<div class="scroll"><table>
<tr><th>Election</th><th>This replica</th><th>Leader</th><th>Term (fencing token)</th><th class="number">Place</th><th>Loop guard</th></tr>
\${shown.map(election)}
</table></div>
\${electionCount > shown.length && markup\`<p class="soft">and \${electionCount - shown.length} more.</p>\`}\`;
}
function election({ name, state, leader, term, position, guard }) {
  const left = term === void 0 ? "" : \`, valid for \${amount(term.remainingMs * 1e6, "nanoseconds")}\`;
  const held = guard.heldForMs > 0 ? \`, next round in \${amount(guard.heldForMs * 1e6, "nanoseconds")}\` : "";
  return markup\`<tr><td><strong>\${name}</strong></td><td><span class="badge \${STATE[state] ?? ""}">\${state}</span></td>
<td>\${leader === void 0 ? markup\`<span class="soft">not known</span>\` : leader.value}</td>
<td>\${term === void 0 ? markup\`<span class="soft">\${leader === void 0 ? "" : leader.fencingToken}</span>\` : \`\${term.fencingToken}\${left}\`}</td>
<td class="number">\${position}</td>
<td><span class="\${guard.state === "open" ? "" : "warn"}">\${guard.state}</span> <span class="soft">\${guard.rounds} rounds\${held}</span></td></tr>
\`;
}
var STATE = {
  leading: "good",
  held: "bad",
  entering: "warn",
  leaving: "warn"
};
var profiles = (maxSeconds) => markup\`<div class="cards">
\${[
  { path: "flamegraph", title: "Flame graph", says: "where the time goes, to click into" },
  { path: "top", title: "Top", says: "the dearest functions, as text" },
  { path: "profile", title: "pprof", says: "for go tool pprof, Pyroscope, Parca, Grafana" },
  { path: "cpuprofile", title: ".cpuprofile", says: "for Chrome DevTools, VS Code, speedscope" }
].map(
  ({
    path,
    title,
    says
  }) => markup\`<form class="card" action="\${path}"><strong>\${title}</strong><span class="soft">\${says}</span>
<span class="go"><label><input name="seconds" type="number" min="0.1" max="\${maxSeconds}" step="any" value="\${Math.min(5, maxSeconds)}" aria-label="seconds"> s</label><button>Record</button></span></form>
\`
)}
<div class="card"><strong>Campaigns</strong><span class="soft">who calls campaign(), how often, and how long the guard held it</span>
<span class="go"><a href="campaigns?debug=1">as text</a> <a href="campaigns">as pprof</a></span></div>
</div>
<p class="soft below">A recording takes as long as it says; the page comes when it is over. One at a time.</p>\`;
function runaway(report, index) {
  const { verdict, at, forMs, cpu, suspects: suspects2, files, notes, ended } = report;
  const links = ["flamegraph", "top", "profile", "cpuprofile", "campaigns", "report"].filter(
    (kind) => files[FILE_OF[kind]] !== void 0
  );
  return markup\`<article class="card wide"><p><span class="badge bad">\${verdict}</span> <strong>\${SAYS[verdict]}</strong>
<span class="soft">\${at}\${forMs > 0 && \`, seen for \${amount(forMs * 1e6, "nanoseconds")}\`}\${cpu !== void 0 && \`, \${Math.round(cpu * 100)} % CPU\`}\${ended && ", over by itself"}</span></p>
\${suspects2.map((suspect) => markup\`<p class="figure">\${describeSuspect(suspect)}</p>\`)}
\${report.guards.slice(0, 1).map((guard) => markup\`<p class="figure">\${guard.callSites[0]?.stack[0]} <span class="soft">called for \${guard.rounds} rounds of "\${guard.election}"</span></p>\`)}
\${notes.map((note) => markup\`<p class="soft">\${note}</p>\`)}
<p>\${links.map((kind) => markup\`<a href="runaways/\${index}/\${kind}">\${kind}</a> \`)}</p></article>
\`;
}
var FILE_OF = {
  flamegraph: "flameGraph",
  top: "top",
  profile: "pprof",
  cpuprofile: "cpuprofile",
  campaigns: "campaigns",
  report: "report"
};
var SAYS = {
  starved: "The event loop did not turn",
  hot: "The event loop had no rest",
  rounds: "A loop was held back by the guard"
};
function guards(shown) {
  if (shown.length === 0) return markup\`<p class="soft">No round has been counted.</p>\`;
  return markup\`<div class="scroll"><table>
<tr><th>Election</th><th class="number">Rounds</th><th class="number">Holds</th><th class="number">Held for</th><th>Busiest caller</th></tr>
\${shown.slice(0, 20).map((guard) => {
    const [site] = [...guard.callSites].sort((a, b) => b.rounds - a.rounds);
    return markup\`<tr><td>\${guard.election} <span class="soft">\${purposeOf(guard)}</span></td><td class="number">\${guard.rounds}</td><td class="number">\${guard.holds}</td><td class="number">\${amount(guard.heldMs * 1e6, "nanoseconds")}</td><td class="figure">\${site?.stack[0]}</td></tr>
\`;
  })}</table></div>\`;
}
var purposeOf = ({ purpose }) => purpose === "campaign" ? "" : purpose;
var STYLE = \`
header{display:flex;flex-wrap:wrap;gap:8px 16px;align-items:center}
h1 .soft{font-weight:400}
.badge{display:inline-block;margin:0;padding:1px 10px;border-radius:999px;border:1px solid currentColor;font-size:13px;color:var(--soft);white-space:nowrap}
.good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}
.alarm{margin:12px 0 0;padding:10px 14px;border-left:3px solid var(--bad);background:var(--card)}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(220px,1fr));gap:12px}
.card{display:flex;flex-direction:column;gap:4px;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px}
.card .go{display:flex;gap:12px;align-items:center;justify-content:space-between;margin-top:auto;padding-top:8px}
.card input{width:76px}
td.number,th.number{padding-right:28px}
.below{margin-top:10px}
.wide{margin:0 0 12px}
.wide p{overflow-wrap:anywhere}
.wide a{margin-right:10px}
footer{margin-top:40px;border-top:1px solid var(--line);padding-top:12px}
\`;

// src/diagnostics/formats/pprof.ts
var import_node_zlib = require("node:zlib");

// src/diagnostics/formats/protobuf.ts
var Message = class _Message {
  #bytes = new Uint8Array(FIRST_CAPACITY);
  #length = 0;
  /** @param value an unsigned integer; a number up to 2^53, a bigint up to 2^64. */
  integer(field, value) {
    if (value === 0 || value === 0n) return this;
    this.#varint(field * 8);
    this.#varint(value);
    return this;
  }
  /** Many integers under one field, zeros kept. */
  packed(field, values) {
    const inner = new _Message();
    for (const value of values) inner.#varint(value);
    return this.message(field, inner);
  }
  message(field, message) {
    return this.bytes(field, message.#bytes.subarray(0, message.#length));
  }
  /** Kept even if empty: pprof's table of strings begins with ''. */
  string(field, text2) {
    return this.bytes(field, new TextEncoder().encode(text2));
  }
  bytes(field, bytes) {
    this.#varint(field * 8 + 2);
    this.#varint(bytes.length);
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }
  finish() {
    return this.#bytes.slice(0, this.#length);
  }
  #varint(value) {
    this.#reserve(LONGEST_VARINT);
    if (typeof value === "bigint") {
      let rest = BigInt.asUintN(64, value);
      for (; rest > 127n; rest >>= 7n) this.#bytes[this.#length++] = Number(rest & 127n) | 128;
      this.#bytes[this.#length++] = Number(rest);
    } else {
      let rest = value;
      for (; rest > 127; rest = Math.floor(rest / 128)) this.#bytes[this.#length++] = rest % 128 | 128;
      this.#bytes[this.#length++] = rest;
    }
  }
  /** Doubles the capacity until this many more bytes fit. */
  #reserve(count) {
    const needed = this.#length + count;
    if (needed <= this.#bytes.length) return;
    let capacity = this.#bytes.length * 2;
    while (capacity < needed) capacity *= 2;
    const grown = new Uint8Array(capacity);
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
};
var FIRST_CAPACITY = 64;
var LONGEST_VARINT = 10;

// src/diagnostics/formats/pprof.ts
var encodePprof = (folded, comment = "") => new Uint8Array((0, import_node_zlib.gzipSync)(pprofMessage(folded, comment).finish()));
function pprofMessage(folded, comment) {
  const strings = new Table();
  strings.idOf("", "");
  const text2 = (value) => strings.idOf(value, value) - 1;
  const functions = new Table();
  const locations = new Table();
  const locationOf = (frame) => {
    const functionId = functions.idOf(functionKey(frame), frame);
    return locations.idOf(\`\${functionId}:\${frame.line}\`, { functionId, line: frame.line });
  };
  const profile = new Message();
  for (const { type, unit } of folded.types) profile.message(1, valueType(text2(type), text2(unit)));
  for (const { frames, values } of folded.stacks) {
    profile.message(2, new Message().packed(1, frames.map(locationOf)).packed(2, values.map(Math.round)));
  }
  profile.message(
    3,
    new Message().integer(1, 1).integer(5, text2("node")).integer(7, 1).integer(8, 1).integer(9, 1)
  );
  for (const [id, { functionId, line }] of locations.entries()) {
    const where = new Message().integer(1, functionId).integer(2, line);
    profile.message(4, new Message().integer(1, id).integer(2, 1).message(4, where));
  }
  for (const [id, { name, file, start }] of functions.entries()) {
    const named = new Message().integer(1, id).integer(2, text2(name)).integer(3, text2(name));
    profile.message(5, named.integer(4, text2(file)).integer(5, start));
  }
  profile.integer(9, BigInt(Math.round(folded.takenAt)) * 1000000n);
  profile.integer(10, Math.round(folded.durationMs * 1e6));
  const last = folded.types.at(-1);
  if (last !== void 0) {
    profile.message(11, valueType(text2(last.type), text2(last.unit))).integer(12, 1);
    profile.integer(14, text2(last.type));
  }
  if (comment !== "") profile.packed(13, [text2(comment)]);
  for (const [, value] of strings.entries()) profile.string(6, value);
  return profile;
}
var valueType = (type, unit) => new Message().integer(1, type).integer(2, unit);
var Table = class {
  #ids = /* @__PURE__ */ new Map();
  #items = [];
  idOf(key, item) {
    const known = this.#ids.get(key);
    if (known !== void 0) return known;
    this.#items.push(item);
    this.#ids.set(key, this.#items.length);
    return this.#items.length;
  }
  *entries() {
    for (const [index, item] of this.#items.entries()) yield [index + 1, item];
  }
};

// src/diagnostics/http/routes.ts
function routes(backend2, rules, maxSeconds) {
  const slot = new ProfileSlot();
  return async (request) => {
    const path = request.url.split("?", 1)[0] ?? "";
    const route = ROUTES[path] ?? runawayRoute(path);
    if (route === void 0) return void 0;
    const refused = refusal(request, rules);
    if (refused !== void 0) return safe(refused);
    try {
      return safe(await route({ request, backend: backend2, maxSeconds, slot }));
    } catch (error) {
      if (request.signal.aborted) return safe(text(499, "the client has gone"));
      const isKnown = error instanceof DiagnosticsError;
      return safe(
        text(isKnown ? 503 : 500, isKnown ? messageOf(error) : "failed; the cause is not shown here")
      );
    }
  };
}
var safe = (reply2) => ({ ...reply2, headers: { ...SAFE_HEADERS, ...reply2.headers } });
var ROUTES = Object.assign(/* @__PURE__ */ Object.create(null), {
  "/debug/pprof": ({ request }) => text(301, "see debug/pprof/", { location: \`\${request.base}/debug/pprof/\` }),
  "/debug/pprof/": async ({ backend: backend2, maxSeconds }) => page(renderIndex(await backend2.snapshot(), await backend2.isTurning(), backend2.runaways(), maxSeconds)),
  "/debug/pprof/profile": profiled(
    (recording) => pprofReply(encodePprof(fold(recording.profile, recording.takenAt)), "profile")
  ),
  "/debug/pprof/cpuprofile": profiled((recording) => json(recording.profile, "main-thread.cpuprofile")),
  "/debug/pprof/top": profiled(
    (recording) => text(200, renderTop(fold(recording.profile, recording.takenAt)).trimEnd())
  ),
  "/debug/pprof/flamegraph": profiled(
    (recording) => page(
      renderFlamePage(
        fold(recording.profile, recording.takenAt),
        \`CPU of the main thread, process \${process.pid}\`
      )
    )
  ),
  "/debug/pprof/campaigns": campaigns,
  "/debug/election": async ({ backend: backend2 }) => json({
    pid: process.pid,
    turning: await backend2.isTurning(),
    ...await backend2.snapshot(),
    runaways: backend2.runaways()
  }),
  "/metrics": metrics,
  "/healthz": async ({ backend: backend2 }) => await backend2.isTurning() ? text(200, "ok") : text(503, "not ok")
});
function profiled(show) {
  return async ({ request, backend: backend2, maxSeconds, slot }) => {
    const seconds = secondsOf(request.url, maxSeconds);
    if (typeof seconds !== "number") return seconds;
    if (request.method === "HEAD") return text(200, "");
    const busyForSeconds = slot.take(seconds);
    if (busyForSeconds > 0) {
      const again = { "retry-after": String(busyForSeconds) };
      return text(
        429,
        \`another profile is being taken, one at a time: try again in \${busyForSeconds} s\`,
        again
      );
    }
    try {
      return show(await backend2.profile(seconds, request.signal));
    } finally {
      slot.free();
    }
  };
}
var ProfileSlot = class {
  #takenUntil;
  /** @returns 0 if it is yours now, otherwise in how many seconds to come again. */
  take(seconds) {
    const now = performance.now();
    if (this.#takenUntil !== void 0) return Math.max(1, Math.ceil((this.#takenUntil - now) / 1e3));
    this.#takenUntil = now + seconds * 1e3;
    return 0;
  }
  free() {
    this.#takenUntil = void 0;
  }
};
async function campaigns({ request, backend: backend2 }) {
  const { guards: guards2, at } = await backend2.snapshot();
  const folded = foldCampaigns(guards2, at);
  const wantsText = new URLSearchParams(request.url.split("?")[1] ?? "").has("debug");
  if (!wantsText) return pprofReply(encodePprof(folded), "campaigns");
  return text(200, \`\${renderTop(byFirstFigure(folded))}
\${renderTop(folded)}\`.trimEnd());
}
async function metrics({ backend: backend2 }) {
  const shown = backend2.metrics();
  if (shown === void 0)
    return text(404, "no metrics here: give \`metrics: () => register.metrics()\` to serve yours");
  return {
    status: 200,
    headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" },
    body: await shown
  };
}
function runawayRoute(path) {
  const [, index, kind = ""] = /^\\/debug\\/pprof\\/runaways\\/(\\d{1,3})\\/(\\w+)$/.exec(path) ?? [];
  const type = EVIDENCE[kind];
  if (index === void 0 || type === void 0) return void 0;
  return async ({ backend: backend2 }) => {
    const file = backend2.runaways()[Number(index)]?.files[type.file];
    if (file === void 0) return text(404, "there is no such evidence");
    try {
      return { status: 200, headers: type.headers, body: await (0, import_promises.readFile)(file) };
    } catch {
      return text(404, "that evidence has been removed");
    }
  };
}
var download = (name) => ({
  "content-type": "application/octet-stream",
  "content-disposition": \`attachment; filename="\${name}"\`
});
var asText = { "content-type": "text/plain; charset=utf-8" };
var EVIDENCE = {
  __proto__: null,
  // The page carries its own policy in a <meta>; ours is lifted, otherwise both would hold and nothing would run.
  flamegraph: {
    file: "flameGraph",
    headers: {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": "frame-ancestors 'none'"
    }
  },
  top: { file: "top", headers: asText },
  report: { file: "report", headers: { "content-type": "application/json; charset=utf-8" } },
  profile: { file: "pprof", headers: download("profile") },
  cpuprofile: { file: "cpuprofile", headers: download("main-thread.cpuprofile") },
  campaigns: { file: "campaigns", headers: download("campaigns") }
};
var page = ({ html, policy }) => ({
  status: 200,
  headers: { "content-type": "text/html; charset=utf-8", "content-security-policy": policy },
  body: html
});
var pprofReply = (body, name) => ({
  status: 200,
  headers: download(name),
  body
});
var json = (value, name) => ({
  status: 200,
  headers: {
    "content-type": "application/json; charset=utf-8",
    ...name !== void 0 && { "content-disposition": \`attachment; filename="\${name}"\` }
  },
  body: \`\${JSON.stringify(value)}
\`
});

// src/diagnostics/http/reply.ts
async function reply(routes2, request, response, next, prefix = "") {
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  const { method = "GET", headers, url = "/", baseUrl = "" } = request;
  const isUnder = prefix === "" || url === prefix || url.startsWith(\`\${prefix}/\`);
  const path = isUnder ? url.slice(prefix.length) || "/" : url;
  const found = isUnder ? await routes2({ method, url: path, base: baseUrl + prefix, headers, signal: gone.signal }) : void 0;
  if (found === void 0 && next !== void 0) return next();
  send(response, found ?? NOT_FOUND, method === "HEAD");
}
var NOT_FOUND = safe(text(404, "not found; begin at /debug/pprof/"));
function send(response, { status, headers, body }, isHead) {
  if (response.headersSent || response.destroyed) return;
  const bytes = Buffer.from(body);
  response.writeHead(status, { ...headers, "content-length": bytes.length });
  response.end(isHead ? void 0 : bytes);
}

// src/diagnostics/http/server.ts
var MOST_CONNECTIONS = 64;
var MOST_PER_ADDRESS = 16;
var CHECK_EVERY_MS = 1e3;
var DiagnosticsHttpServer = class {
  #server;
  constructor(backend2, { token, allowedHosts, maxSeconds }) {
    const rules = { token, allowedHosts };
    const answer2 = everyPath(routes(backend2, rules, maxSeconds), rules);
    const options = { maxHeaderSize: 8192, connectionsCheckingInterval: CHECK_EVERY_MS };
    const connections = new Connections();
    this.#server = (0, import_node_http.createServer)(options, (request, response) => {
      connections.busy(request.socket, response);
      void reply(answer2, request, response).catch(() => response.destroy());
    });
    this.#server.on("connection", (socket) => connections.add(socket));
    this.#server.maxConnections = MOST_CONNECTIONS;
    this.#server.headersTimeout = 4e3;
    this.#server.requestTimeout = 1e4;
    this.#server.keepAliveTimeout = 5e3;
    this.#server.setTimeout((maxSeconds + 15) * 1e3);
  }
  /** @returns the port; rejects if it is taken or forbidden. */
  listen({ host, port }) {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen({ host, port, exclusive: true }, () => {
        this.#server.off("error", reject);
        this.#server.on("error", () => {
        });
        resolve(this.#server.address().port);
      });
    });
  }
  close() {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }
};
var everyPath = (answer2, rules) => async (request) => {
  const asked = request.url === "/" ? { ...request, url: "/debug/pprof" } : request;
  const found = await answer2(asked);
  if (found !== void 0) return found;
  const refused = refusal(asked, rules);
  return refused && safe(refused);
};
var Connections = class {
  #byAddress = /* @__PURE__ */ new Map();
  #busy = /* @__PURE__ */ new WeakSet();
  add(socket) {
    const address = socket.remoteAddress ?? "";
    const sockets = this.#byAddress.get(address) ?? /* @__PURE__ */ new Set();
    this.#byAddress.set(address, sockets);
    if (sockets.size >= MOST_PER_ADDRESS) {
      const idle = [...sockets].find((each) => !this.#busy.has(each));
      (idle ?? socket).destroy();
      if (idle === void 0) return;
      sockets.delete(idle);
    }
    sockets.add(socket);
    socket.once("close", () => {
      sockets.delete(socket);
      if (sockets.size === 0 && this.#byAddress.get(address) === sockets) this.#byAddress.delete(address);
    });
  }
  /** A request is under way on it, until the response is sent or the client has gone. */
  busy(socket, response) {
    this.#busy.add(socket);
    response.once("close", () => this.#busy.delete(socket));
  }
};

// src/diagnostics/elections.ts
var NO_SNAPSHOT = { at: 0, electionCount: 0, elections: [], guards: [] };

// src/diagnostics/watchdog/main-link.ts
var MainLink = class {
  /** As last heard; the main thread tells when something happens, and when asked. */
  snapshot = NO_SNAPSHOT;
  #port;
  #replies = /* @__PURE__ */ new Map();
  #answers = /* @__PURE__ */ new Set();
  #isAsked = false;
  #lastId = 0;
  constructor(port) {
    this.#port = port;
  }
  post(message) {
    this.#port.postMessage(message);
  }
  /** Asks whether it turns; at most one question is under way. */
  ask() {
    if (this.#isAsked) return;
    this.#isAsked = true;
    this.post({ type: "ask" });
  }
  /** @returns whether it answered in time. */
  isTurning(withinMs) {
    return new Promise((resolve) => {
      const settle = (turns) => {
        clearTimeout(timer);
        this.#answers.delete(yes);
        resolve(turns);
      };
      const yes = () => settle(true);
      const timer = setTimeout(() => settle(false), withinMs);
      this.#answers.add(yes);
      this.ask();
    });
  }
  /** @returns what it replied; undefined if it did not in time, or has nothing to say. */
  request(what, withinMs) {
    const id = ++this.#lastId;
    return new Promise((resolve) => {
      const settle = (text2) => {
        clearTimeout(timer);
        this.#replies.delete(id);
        resolve(text2);
      };
      const timer = setTimeout(settle, withinMs, void 0);
      this.#replies.set(id, settle);
      this.post({ type: "request", id, what });
    });
  }
  /** Takes in what concerns this class; the rest is the caller's. */
  receive(message) {
    if (message.type === "answer") {
      this.#isAsked = false;
      for (const yes of this.#answers) yes();
    } else if (message.type === "reply") {
      this.#replies.get(message.id)?.(message.text);
    } else if (message.type === "snapshot" || message.type === "tripped") {
      this.snapshot = message.snapshot;
    }
  }
};

// src/diagnostics/watchdog/watcher.ts
var import_node_perf_hooks = require("node:perf_hooks");

// src/diagnostics/watchdog/classify.ts
var CURIOUS = 0.1;
var BURNING = 0.3;
var BURNT = 0.5;
var PUNCTUAL_MS = 300;
var beginWatch = (at, cpu) => ({ at, cpu });
function watch(before, sight, thresholds) {
  if (sight.type === "answer") return { watch: answered(before, sight, thresholds), ask: false };
  const pausedMs = sight.lateMs > PUNCTUAL_MS ? sight.lateMs : 0;
  const now = withoutPause(before, pausedMs);
  const elapsed = Math.max(1, sight.at - before.at - pausedMs);
  const wanted = (sight.cpu.wantedMs - before.cpu.wantedMs) / elapsed;
  const looked = { ...now, at: sight.at, cpu: sight.cpu };
  if (now.asked !== void 0) {
    const forMs2 = sight.at - now.asked.at;
    const burntMs = sight.cpu.burntMs - now.asked.burntMs;
    const starved = forMs2 >= thresholds.stallMs && burntMs >= thresholds.stallMs * BURNT;
    return {
      watch: looked,
      ask: false,
      ...starved && { finding: { verdict: "starved", forMs: forMs2, cpu: burntMs / forMs2 } }
    };
  }
  const hotSince = wanted < BURNING ? cooled(now, sight.at, elapsed, thresholds) : now.hotSince;
  if (wanted < CURIOUS) return { watch: { ...looked, hotSince }, ask: false };
  const ask = { ...looked, hotSince, asked: { at: sight.at, burntMs: sight.cpu.burntMs } };
  if (hotSince === void 0) return { watch: ask, ask: true };
  const forMs = sight.at - hotSince;
  const cpu = Math.min(1, (sight.cpu.burntMs - before.cpu.burntMs) / elapsed);
  return {
    watch: ask,
    ask: true,
    ...forMs >= thresholds.hotMs && { finding: { verdict: "hot", forMs, cpu } }
  };
}
function answered(before, { at, utilization }, thresholds) {
  const since = before.answeredAt ?? before.at;
  const hotSince = utilization >= thresholds.hotUtilization ? before.hotSince ?? before.asked?.at ?? before.at : cooled(before, at, Math.max(0, at - since), thresholds);
  return { ...before, answeredAt: at, asked: void 0, hotSince };
}
function cooled({ hotSince }, at, restMs, { hotMs }) {
  if (hotSince === void 0) return void 0;
  const since = Math.max(hotSince, at - hotMs) + restMs * 4;
  return since < at ? since : void 0;
}
var withoutPause = (before, pausedMs) => ({
  ...before,
  asked: before.asked && { ...before.asked, at: before.asked.at + pausedMs },
  hotSince: before.hotSince === void 0 ? void 0 : before.hotSince + pausedMs
});

// src/diagnostics/profile/inspector.ts
function connectInspector(target, reason) {
  const inspector = reason === void 0 ? inspectorModule() : void 0;
  if (inspector === void 0)
    throw new DiagnosticsError("DIAGNOSTICS_UNAVAILABLE", \`no CPU profiles: \${reason}\`);
  const session = new inspector.Session();
  try {
    if (target === "main") session.connectToMainThread();
    else session.connect();
  } catch (cause) {
    throw new DiagnosticsError("DIAGNOSTICS_UNAVAILABLE", "no CPU profile: the inspector refused", { cause });
  }
  return session;
}
function inspectorModule() {
  try {
    return process.getBuiltinModule("node:inspector");
  } catch {
    return void 0;
  }
}

// src/diagnostics/watchdog/main-cpu.ts
var import_node_fs = require("node:fs");
function mainCpu() {
  for (const source of [scheduled, accounted]) {
    try {
      return source();
    } catch {
    }
  }
  return { read: processCpu, close: () => {
  } };
}
var scheduled = () => fromFile("schedstat", (text2) => {
  const [burnt = NaN, waited = NaN] = text2.split(" ").map(Number);
  return { burntMs: burnt / 1e6, wantedMs: (burnt + waited) / 1e6 };
});
var accounted = () => fromFile("stat", (text2) => {
  const fields = text2.slice(text2.lastIndexOf(")") + 2).split(" ");
  const burntMs = (Number(fields[11]) + Number(fields[12])) * 10;
  return { burntMs, wantedMs: burntMs };
});
function fromFile(name, parse) {
  const file = (0, import_node_fs.openSync)(\`/proc/self/task/\${process.pid}/\${name}\`, "r");
  const buffer = Buffer.alloc(1024);
  const read = () => parse(buffer.toString("latin1", 0, (0, import_node_fs.readSync)(file, buffer, 0, buffer.length, 0)));
  const { wantedMs } = read();
  if (!(wantedMs > 0)) throw new Error(\`no CPU times in \${name}\`);
  return { read, close: () => (0, import_node_fs.closeSync)(file) };
}
function processCpu() {
  const { threadCpuUsage } = process;
  const all = process.cpuUsage();
  const own = threadCpuUsage?.call(process) ?? { user: 0, system: 0 };
  const burntMs = (all.user + all.system - own.user - own.system) / 1e3;
  return { burntMs, wantedMs: burntMs };
}

// src/diagnostics/profile/record-profile.ts
var import_promises2 = require("node:timers/promises");
var ANSWER_WITHIN_MS = 5e3;
var SAMPLE_EVERY_MICROS = 1e3;
async function recordProfile(session, options) {
  const post = (method, params) => answer(session, method, params, options.signal);
  await post("Profiler.enable");
  try {
    await post("Profiler.setSamplingInterval", { interval: SAMPLE_EVERY_MICROS });
    if (options.deoptimise) await post("Profiler.startPreciseCoverage", { callCount: true, detailed: false });
    await post("Profiler.start");
    const takenAt = Date.now();
    if (options.deoptimise) await post("Profiler.stopPreciseCoverage");
    options.onBegun?.();
    await (0, import_promises2.setTimeout)(options.durationMs, void 0, { signal: options.signal });
    const stopped = await post("Profiler.stop");
    return { profile: stopped.profile, takenAt };
  } catch (error) {
    throw options.signal?.aborted ? options.signal.reason : error;
  } finally {
    session.post("Profiler.disable");
  }
}
function answer(session, method, params = {}, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const timer = setTimeout(() => {
      const inNative = "it is in native code, in a long garbage collection, or stopped";
      reject(
        new DiagnosticsError(
          "DIAGNOSTICS_NO_ANSWER",
          \`the profiled thread did not answer \${method}: \${inNative}\`
        )
      );
    }, ANSWER_WITHIN_MS);
    session.post(method, params, (error, result) => {
      clearTimeout(timer);
      if (error)
        reject(
          new DiagnosticsError("DIAGNOSTICS_UNAVAILABLE", \`\${method}: \${error.message}\`, { cause: error })
        );
      else resolve(result);
    });
  });
}

// src/diagnostics/evidence/file-report.ts
var import_node_fs3 = require("node:fs");
var import_node_http2 = require("node:http");
var import_node_https = require("node:https");

// src/diagnostics/evidence/evidence.ts
var import_node_fs2 = require("node:fs");
var import_node_os = require("node:os");
var import_node_path = require("node:path");

// src/diagnostics/evidence/report.ts
function headline(report) {
  const seconds = (report.forMs / 1e3).toFixed(1);
  const cpu = report.cpu === void 0 ? "" : \`, \${Math.round(report.cpu * 100)} % CPU\`;
  const what = {
    starved: \`runaway: the event loop has not turned for \${seconds} s\${cpu}\`,
    hot: \`runaway: the event loop has had no rest for \${seconds} s\${cpu}\`,
    rounds: \`runaway held back by the loop guard\`
  }[report.verdict];
  const blamed = report.suspects.map(describeSuspect).join(", ");
  const [guard] = report.guards;
  const site = guard?.callSites[0];
  const caller = guard === void 0 ? "" : \`; election "\${guard.election}": \${guard.rounds} rounds\${site?.stack[0] ? \`, called from \${site.stack[0].trim()}\` : ""}\`;
  const evidence = report.files.directory === void 0 ? "" : \`; evidence in \${report.files.directory}\`;
  const notes = report.notes.map((note) => \`; \${note}\`).join("");
  const line = \`\${what}\${blamed === "" ? "" : \`; top: \${blamed}\`}\${caller}\${evidence}\${notes}\`;
  return line.replace(/[\\p{Cc}\\u2028\\u2029]+/gu, " ");
}
function logLine(report, format) {
  const message = headline(report);
  if (format === "text") return \`\${report.at} [etcd-election] \${message}
\`;
  const { verdict, forMs, suspects: suspects2, files, pid } = report;
  const fields = { level: 50, time: Date.parse(report.at), pid, name: "etcd-election", event: "runaway" };
  return \`\${JSON.stringify({ ...fields, verdict, forMs, suspects: suspects2, files, msg: message })}
\`;
}

// src/diagnostics/evidence/evidence.ts
var defaultDirectory = () => (0, import_node_path.join)((0, import_node_os.tmpdir)(), \`etcd-election-runaways-\${(0, import_node_os.userInfo)().username}\`);
function writeEvidence(report, recording, limits) {
  const home = homeOf(limits.directory);
  const contents = contentsOf(report, recording);
  const sizes = Object.values(contents).map(({ data }) => data.length);
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  if (bytes > limits.maxBytes) {
    throw new DiagnosticsError(
      "DIAGNOSTICS_INVALID",
      \`the evidence takes \${bytes} bytes, more than the \${limits.maxBytes} allowed\`
    );
  }
  for (const name of surplus(foldersOf(home), limits.keep - 1, limits.maxBytes - bytes)) {
    (0, import_node_fs2.rmSync)((0, import_node_path.join)(home, name), { recursive: true, force: true });
  }
  const directory = (0, import_node_path.join)(home, folderName(report));
  (0, import_node_fs2.mkdirSync)(directory, { mode: 448 });
  const paths = Object.entries(contents).map(([kind, { name, data }]) => {
    const path = (0, import_node_path.join)(directory, name);
    (0, import_node_fs2.writeFileSync)(path, data, { mode: 384, flag: "wx" });
    return [kind, path];
  });
  const reportPath = (0, import_node_path.join)(directory, "report.json");
  const files = { directory, ...Object.fromEntries(paths), report: reportPath };
  const complete = { ...report, files };
  (0, import_node_fs2.writeFileSync)(reportPath, \`\${JSON.stringify(complete, null, 2)}
\`, { mode: 384, flag: "wx" });
  return complete;
}
function contentsOf(report, recording) {
  const comment = \`etcd-election: \${report.verdict} at \${report.at}, pid \${report.pid}\`;
  const contents = {};
  if (recording !== void 0) {
    const folded = fold(recording.profile, recording.takenAt);
    const title = \`CPU profile of a runaway, process \${report.pid}\`;
    contents.cpuprofile = { name: "cpu.cpuprofile", data: JSON.stringify(recording.profile) };
    contents.pprof = { name: "cpu.pb.gz", data: encodePprof(folded, comment) };
    contents.flameGraph = {
      name: "flame-graph.html",
      data: renderFlamePage(folded, title, [headline(report)]).html
    };
    contents.top = { name: "top.txt", data: renderTop(folded) };
  }
  if (report.guards.some(({ callSites }) => callSites.length > 0)) {
    const folded = foldCampaigns(report.guards, Date.parse(report.at));
    contents.campaigns = { name: "campaigns.pb.gz", data: encodePprof(folded, comment) };
  }
  return contents;
}
var folderName = ({ at, pid, verdict }) => \`\${at.replaceAll(":", "-")}-\${pid}-\${verdict}\`;
var FOLDER = /^\\d{4}-\\d\\d-\\d\\dT\\d\\d-\\d\\d-\\d\\d\\.\\d{3}Z-\\d+-(?:starved|hot|rounds)$/;
function foldersOf(home) {
  const names = (0, import_node_fs2.readdirSync)(home).filter((name) => FOLDER.test(name));
  return names.map((name) => {
    const files = (0, import_node_fs2.readdirSync)((0, import_node_path.join)(home, name));
    return { name, bytes: files.reduce((sum, file) => sum + (0, import_node_fs2.statSync)((0, import_node_path.join)(home, name, file)).size, 0) };
  });
}
function surplus(folders, keep, maxBytes) {
  const newestFirst = [...folders].sort((a, b) => a.name < b.name ? 1 : -1);
  let bytes = 0;
  const kept = newestFirst.findIndex((folder, index) => index >= keep || (bytes += folder.bytes) > maxBytes);
  return kept === -1 ? [] : newestFirst.slice(kept).map(({ name }) => name).reverse();
}
function homeOf(directory) {
  const home = directory ?? defaultDirectory();
  (0, import_node_fs2.mkdirSync)(home, { recursive: true, mode: 448 });
  if (directory === void 0) refuseForeign(home);
  return home;
}
function refuseForeign(home) {
  const seen = (0, import_node_fs2.lstatSync)(home);
  const isOurs = seen.isDirectory() && (process.getuid === void 0 || seen.uid === process.getuid() && (seen.mode & 63) === 0);
  if (!isOurs)
    throw new DiagnosticsError(
      "DIAGNOSTICS_INVALID",
      \`\${home} is not a folder of this user alone; set \\\`directory\\\`\`
    );
}

// src/diagnostics/evidence/file-report.ts
var WEBHOOK_MS = 5e3;
async function fileReport(report, recording, settings) {
  let filed = report;
  try {
    filed = writeEvidence(report, recording, settings.evidence);
  } catch (error) {
    filed = { ...report, notes: [...report.notes, \`evidence not written: \${messageOf(error)}\`] };
  }
  if (settings.log !== false) writeLine(logLine(filed, settings.log));
  if (settings.webhook !== void 0) {
    try {
      await send2(settings.webhook, JSON.stringify(filed));
    } catch (error) {
      filed = { ...filed, notes: [...filed.notes, \`webhook failed: \${messageOf(error)}\`] };
    }
  }
  return filed;
}
function writeLine(line) {
  try {
    (0, import_node_fs3.writeSync)(2, line);
  } catch {
  }
}
function send2({ url, headers }, body) {
  return new Promise((resolve, reject) => {
    const request = url.startsWith("https:") ? import_node_https.request : import_node_http2.request;
    const options = {
      method: "POST",
      headers: { "content-type": "application/json", ...headers, "content-length": Buffer.byteLength(body) },
      signal: AbortSignal.timeout(WEBHOOK_MS)
    };
    const sent = request(url, options, (response) => {
      const { statusCode = 0 } = response;
      response.resume();
      if (statusCode >= 200 && statusCode < 300) resolve();
      else reject(new Error(\`it answered \${statusCode}\`));
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

// src/diagnostics/profile/source-maps.ts
var import_node_fs4 = require("node:fs");
var import_node_module = require("node:module");
var import_node_url = require("node:url");
var MOST_BYTES = 16e6;
var MOST_MAPPINGS = 2e6;
var INDENTED = 120;
function inSource(profile, originOf = readOrigin) {
  const nodes = [...profile.nodes];
  for (const url of new Set(profile.nodes.map(({ callFrame }) => callFrame.url))) {
    const origin = originOf(url);
    if (origin === void 0) continue;
    for (const [index, node] of profile.nodes.entries())
      if (node.callFrame.url === url) nodes[index] = moved(node, origin);
  }
  return { ...profile, nodes };
}
function moved(node, origin) {
  const { callFrame, positionTicks = [] } = node;
  const start = origin(callFrame.lineNumber, callFrame.columnNumber ?? 0);
  if (start === void 0) return node;
  const ticksOf = /* @__PURE__ */ new Map();
  for (const { line, ticks } of positionTicks) {
    const at = origin(line - 1);
    if (at?.url === start.url) ticksOf.set(at.line + 1, (ticksOf.get(at.line + 1) ?? 0) + ticks);
  }
  return {
    ...node,
    callFrame: { ...callFrame, url: start.url, lineNumber: start.line, columnNumber: start.column },
    positionTicks: [...ticksOf].map(([line, ticks]) => ({ line, ticks }))
  };
}
function readOrigin(url) {
  if (url.includes("/node_modules/")) return void 0;
  try {
    const file = url.startsWith("/") ? (0, import_node_url.pathToFileURL)(url) : new URL(url);
    return file.protocol === "file:" ? originIn(file) : void 0;
  } catch {
    return void 0;
  }
}
function originIn(file) {
  const [, named] = /\\/\\/# sourceMappingURL=(\\S+)\\s*$/.exec(lastLine(textOf(file))) ?? [];
  if (named === void 0) return void 0;
  const [, base64, inline] = /^data:application\\/json[^,]*?(;base64)?,(.*)$/.exec(named) ?? [];
  const beside = inline === void 0 ? new URL(named, file) : file;
  const text2 = inline === void 0 ? textOf(beside) : base64 === void 0 ? decodeURIComponent(inline) : Buffer.from(inline, "base64").toString();
  const { sourcesContent: _texts, ...payload } = JSON.parse(text2);
  if (payload.mappings.length > MOST_MAPPINGS) return void 0;
  const root = payload.sourceRoot ? payload.sourceRoot.replace(/\\/?$/, "/") : "";
  const sources = payload.sources.map((source) => new URL(root + source, beside).href);
  return originFrom(new import_node_module.SourceMap({ ...payload, sources, sourcesContent: [] }));
}
function originFrom(map) {
  const at = (line, column = 0) => {
    const entry = map.findEntry(line, column);
    if (!("originalSource" in entry) || entry.generatedLine !== line) return void 0;
    return { url: entry.originalSource, line: entry.originalLine, column: entry.originalColumn };
  };
  return (line, column) => {
    if (column !== void 0) return at(line, column);
    for (let indented = 0; indented <= INDENTED; indented++) {
      const first = at(line, indented);
      if (first !== void 0) return first;
    }
    return void 0;
  };
}
var lastLine = (text2) => {
  const trimmed = text2.trimEnd();
  return trimmed.slice(trimmed.lastIndexOf("\\n") + 1);
};
function textOf(url) {
  const path = (0, import_node_url.fileURLToPath)(url);
  const seen = (0, import_node_fs4.statSync)(path);
  if (!seen.isFile() || seen.size > MOST_BYTES) throw new RangeError(\`\${path} is not read\`);
  return (0, import_node_fs4.readFileSync)(path, "utf8");
}

// src/diagnostics/watchdog/watcher.ts
var SOON_MS = 100;
var REMEMBERED = 20;
var Watcher = class {
  reports = [];
  counts = { starved: 0, hot: 0, rounds: 0 };
  #link;
  #settings;
  #cpu = mainCpu();
  #startedAt = import_node_perf_hooks.performance.now();
  #reportedAt = /* @__PURE__ */ new Map();
  #watch = beginWatch(this.#startedAt, this.#cpu.read());
  #episode;
  #answeredAt = -Infinity;
  #timer;
  constructor(link, settings) {
    this.#link = link;
    this.#settings = settings;
    this.#lookAgain();
  }
  /** \`starved\` and \`hot\` from detection to recovery, otherwise \`calm\`. */
  get state() {
    return this.#episode?.verdict ?? "calm";
  }
  stop() {
    clearTimeout(this.#timer);
    this.#cpu.close();
  }
  /** The main thread answered: it turns. */
  answered(utilization) {
    const at = import_node_perf_hooks.performance.now();
    this.#answeredAt = at;
    this.#watch = watch(this.#watch, { type: "answer", at, utilization }, this.#settings).watch;
    this.#endEpisode(this.#episode?.verdict === "starved", at);
  }
  /** The loop guard of an election tripped: the call sites are the evidence, a CPU profile would show a loop at rest. */
  tripped({ election: election2 }) {
    const guards2 = this.#link.snapshot.guards.filter((guard) => guard.election === election2);
    if (!this.#mayReport(\`rounds \${election2}\`)) return;
    void this.#report({ verdict: "rounds", forMs: 0 }, { guards: guards2, notes: [] });
  }
  /** The look is kept ref'd: it is what keeps the worker alive, an inspector command under way does not. */
  #lookAgain() {
    const { pollMs, stallMs } = this.#settings;
    const now = import_node_perf_hooks.performance.now();
    const untilStalled = this.#watch.asked === void 0 ? Infinity : this.#watch.asked.at + stallMs - now;
    const inMs = Math.min(pollMs, Math.max(Math.ceil(untilStalled), SOON_MS));
    this.#timer = setTimeout(() => this.#look(now + inMs), inMs);
  }
  #look(dueAt) {
    const at = import_node_perf_hooks.performance.now();
    const sight = { type: "look", at, cpu: this.#cpu.read(), lateMs: Math.max(0, at - dueAt) };
    const seen = watch(this.#watch, sight, this.#settings);
    this.#watch = seen.watch;
    if (seen.ask) this.#link.ask();
    if (seen.finding !== void 0) this.#found(seen.finding);
    this.#endEpisode(this.#episode?.verdict === "hot" && this.#watch.hotSince === void 0, at);
    this.#lookAgain();
  }
  #found(finding) {
    if (this.#episode?.verdict === finding.verdict) return;
    if (import_node_perf_hooks.performance.now() - this.#startedAt < this.#settings.startupGraceMs) return;
    this.#episode = { verdict: finding.verdict, since: import_node_perf_hooks.performance.now() - finding.forMs };
    if (this.#mayReport(finding.verdict)) void this.#investigate(finding, (/* @__PURE__ */ new Date()).toISOString());
  }
  #endEpisode(isOver, at) {
    if (this.#episode === void 0 || !isOver) return;
    this.#link.post({ type: "ended", verdict: this.#episode.verdict, forMs: at - this.#episode.since });
    this.#episode = void 0;
  }
  #mayReport(kind) {
    const now = import_node_perf_hooks.performance.now();
    if (now - (this.#reportedAt.get(kind) ?? -Infinity) < this.#settings.cooldownMs) return false;
    if (this.#reportedAt.size >= 1e3) this.#reportedAt.clear();
    this.#reportedAt.set(kind, now);
    return true;
  }
  async #investigate(finding, at) {
    const notes = [];
    let recording;
    let begunAt = Infinity;
    try {
      const onBegun = () => void (begunAt = import_node_perf_hooks.performance.now());
      recording = await recordMain(this.#settings, { durationMs: this.#settings.profileMs, onBegun });
    } catch (error) {
      if (this.#settings.whyNoProfile === void 0) notes.push(messageOf(error));
    }
    const isOver = finding.verdict === "starved" && this.#episode?.verdict !== "starved";
    if (isOver && this.#answeredAt < begunAt + this.#settings.profileMs / 4) {
      this.#reportedAt.delete("starved");
      return;
    }
    await this.#report(finding, { at, recording, notes, ended: isOver });
  }
  async #report(finding, found) {
    const { snapshot } = this.#link;
    const guards2 = found.guards ?? snapshot.guards.filter(({ holds }) => holds > 0).slice(0, 5);
    const leading = snapshot.elections.filter(({ state }) => state === "leading").map(({ name }) => name);
    const report = {
      verdict: finding.verdict,
      at: found.at ?? (/* @__PURE__ */ new Date()).toISOString(),
      pid: process.pid,
      forMs: Math.round(finding.forMs),
      ...finding.cpu !== void 0 && { cpu: Math.round(Math.min(1, finding.cpu) * 100) / 100 },
      suspects: found.recording === void 0 ? [] : suspects(fold(found.recording.profile)),
      guards: guards2,
      leading,
      evidence: found.recording === void 0 ? guards2.length > 0 ? "call-sites" : "none" : "profile",
      files: {},
      notes: [...this.#settings.notes, ...found.notes, ...leadershipNote(finding.verdict, leading)],
      ended: found.ended ?? false
    };
    this.counts[report.verdict]++;
    const filed = await fileReport(report, found.recording, this.#settings);
    this.reports.unshift(filed);
    this.reports.length = Math.min(this.reports.length, REMEMBERED);
    this.#link.post({ type: "runaway", report: filed });
    if (report.verdict === "starved" && this.#settings.onStarved === "kill" && this.#episode !== void 0) {
      process.kill(process.pid, "SIGKILL");
    }
  }
};
async function recordMain({ deoptimise, whyNoProfile }, options) {
  const session = connectInspector("main", whyNoProfile);
  try {
    const { profile, takenAt } = await recordProfile(session, { ...options, deoptimise });
    return { profile: inSource(profile), takenAt };
  } finally {
    session.disconnect();
  }
}
var leadershipNote = (verdict, leading) => verdict !== "starved" || leading.length === 0 ? [] : [
  \`this process led \${leading.map((name) => \`"\${name}"\`).join(", ")}: it cannot renew while it spins, so another replica leads once the lease has run out\`
];

// src/diagnostics/watchdog/watchdog-metrics.ts
function withWatchdogMetrics(shown, isStarved, counts) {
  const lines = [
    "# HELP etcd_election_watchdog_main_thread_answers Whether the main thread answered the watchdog (1) or not (0).",
    "# TYPE etcd_election_watchdog_main_thread_answers gauge",
    \`etcd_election_watchdog_main_thread_answers \${shown === void 0 || isStarved ? 0 : 1}\`,
    "# HELP etcd_election_watchdog_runaways_total Runaways reported by the watchdog.",
    "# TYPE etcd_election_watchdog_runaways_total counter",
    ...Object.entries(counts).map(
      ([verdict, count]) => \`etcd_election_watchdog_runaways_total{verdict="\${verdict}"} \${count}\`
    ),
    ""
  ].join("\\n");
  const own = shown ?? "# the main thread did not answer: its metrics are missing\\n";
  const ended = own.replace(/# EOF\\s*$/, "");
  return \`\${ended}\${ended === "" || ended.endsWith("\\n") ? "" : "\\n"}\${lines}\${ended === own ? "" : "# EOF\\n"}\`;
}

// src/diagnostics/watchdog/worker.ts
var TELL_WITHIN_MS = { snapshot: 500, metrics: 2e3 };
function runWorker(port, settings) {
  const link = new MainLink(port);
  const watcher = new Watcher(link, settings);
  let server;
  const serve = async (id, wanted) => {
    const opened = new DiagnosticsHttpServer(backend(link, watcher, settings, wanted), wanted);
    try {
      link.post({ type: "served", id, port: await opened.listen(wanted), error: void 0 });
      server = opened;
    } catch (error) {
      link.post({ type: "served", id, port: 0, error: messageOf(error) });
    }
  };
  const unserve = async () => {
    const open = server;
    server = void 0;
    await open?.close();
  };
  port.on("message", (message) => {
    link.receive(message);
    if (message.type === "answer") watcher.answered(message.utilization);
    else if (message.type === "tripped") watcher.tripped(message);
    else if (message.type === "serve") void serve(message.id, message.settings);
    else if (message.type === "unserve")
      void unserve().then(() => link.post({ type: "unserved", id: message.id }));
    else if (message.type === "stop") {
      watcher.stop();
      void unserve().then(() => port.close());
    }
  });
  link.post({ type: "ready" });
}
function backend(link, watcher, settings, { hasMetrics }) {
  const isStarved = () => watcher.state === "starved";
  return {
    profile: (seconds, signal) => recordMain(settings, { durationMs: seconds * 1e3, signal }),
    isTurning: async () => !isStarved() && await link.isTurning(settings.stallMs),
    runaways: () => watcher.reports,
    async snapshot() {
      const told = isStarved() ? void 0 : await link.request("snapshot", TELL_WITHIN_MS.snapshot);
      return told === void 0 ? link.snapshot : JSON.parse(told);
    },
    metrics() {
      if (!hasMetrics) return void 0;
      const told = isStarved() ? Promise.resolve(void 0) : link.request("metrics", TELL_WITHIN_MS.metrics);
      return told.then((shown) => withWatchdogMetrics(shown, isStarved(), watcher.counts));
    }
  };
}

// <stdin>
var import_node_worker_threads = require("node:worker_threads");
runWorker(import_node_worker_threads.parentPort, import_node_worker_threads.workerData);
`;
