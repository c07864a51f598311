import type { GuardReport } from '../../index.ts';
import { type Page, document } from '../formats/document.ts';
import type { ElectionView, Snapshot } from '../elections.ts';
import { type Markup, markup } from '../formats/markup.ts';
import { type RunawayReport, busiestCallSite, isRunaway } from '../evidence/report.ts';
import { describeSuspect } from '../formats/suspects.ts';
import { amount } from '../formats/top.ts';

export interface IndexView {
  readonly snapshot: Snapshot;
  readonly isTurning: boolean;
  readonly runaways: readonly RunawayReport[];
  readonly notices: readonly RunawayReport[];
  readonly maxSeconds: number;
  readonly hasMetrics: boolean;
}

/** Renders the index page: elections, profiles, runaways and loop guards. Pure. */
export function renderIndex(view: IndexView): Page {
  const { snapshot, isTurning, runaways, notices, maxSeconds, hasMetrics } = view;
  const body = markup`<main>
<header><h1>etcd-election <span class="soft">process ${process.pid}</span></h1>
${isTurning ? markup`<p class="badge good">main thread answers</p>` : markup`<p class="badge bad">main thread does not answer</p>`}</header>
${!isTurning && markup`<p class="alarm">Timers, sockets and renewals of the main thread stand still. This page shows its last known state. Take a profile: it names the function that spins.</p>`}
<h2>Elections</h2>
${elections(snapshot)}
<h2>Profiles of the main thread</h2>
${profiles(maxSeconds)}
<h2>Last runaways</h2>
${runaways.length === 0 ? markup`<p class="soft">None are known.</p>` : runaways.map((report, index) => reported(report, `runaways/${index}`))}
${
  notices.length > 0 &&
  markup`<h2>Long blocks and saturation</h2>
${notices.map((report, index) => reported(report, `notices/${index}`))}`
}
<h2>Loop guard</h2>
${guards(snapshot.guards)}
<footer class="soft"><p>${snapshot.at === 0 ? 'Nothing heard from the main thread yet.' : `As of ${new Date(snapshot.at).toISOString()}.`}
<a href="../election">The same as JSON</a>${hasMetrics && markup` · <a href="../../metrics">Metrics</a>`} · <a href="../../healthz">Health</a></p></footer>
</main>`;
  return document({ title: `etcd-election, process ${process.pid}`, body, style: STYLE });
}

function elections({ elections: shown, electionCount }: Snapshot): Markup {
  if (electionCount === 0) return markup`<p class="soft">This process is in no election.</p>`;
  return markup`<div class="scroll"><table>
<tr><th>Election</th><th>This replica</th><th>Health</th><th>Leader</th><th>Term (fencing token)</th><th class="number">Place</th><th>Loop guard</th></tr>
${shown.map(election)}
</table></div>
${electionCount > shown.length && markup`<p class="soft">and ${electionCount - shown.length} more.</p>`}`;
}

function election({
  name,
  prefix,
  clusterId,
  health,
  state,
  leader,
  term,
  position,
  guard,
}: ElectionView): Markup {
  const left = term === undefined ? '' : `, valid for ${amount(term.remainingMs * 1e6, 'nanoseconds')}`;
  const held = guard.heldForMs > 0 ? `, next round in ${amount(guard.heldForMs * 1e6, 'nanoseconds')}` : '';
  return markup`<tr><td><strong>${name}</strong><br><span class="soft">prefix ${prefix === '' ? 'none' : prefix}, cluster ${clusterId ?? 'not known'}</span></td><td><span class="badge ${STATE[state] ?? ''}">${state}</span></td>
<td>${healthCell(health)}</td>
<td>${leader === undefined ? markup`<span class="soft">not known</span>` : leader.value}</td>
<td>${term === undefined ? markup`<span class="soft">${leader === undefined ? '' : leader.fencingToken}</span>` : `${term.fencingToken}${left}`}</td>
<td class="number">${position}</td>
<td><span class="${guard.state === 'open' ? '' : 'warn'}">${guard.state}</span> <span class="soft">${guard.rounds} ${guard.rounds === 1 ? 'round' : 'rounds'}${held}</span></td></tr>
`;
}

function healthCell({ healthy, reason }: ElectionView['health']): Markup {
  if (reason === undefined) return markup`<span class="badge good">healthy</span>`;
  return markup`<span class="badge ${healthy ? 'warn' : 'bad'}">${healthy ? 'healthy' : 'unhealthy'}</span> ${reason}`;
}

const STATE: Readonly<Partial<Record<ElectionView['state'], string>>> = {
  leading: 'good',
  held: 'bad',
  entering: 'warn',
  leaving: 'warn',
};

const profiles = (maxSeconds: number): Markup => markup`<div class="cards">
${[
  { path: 'flamegraph', title: 'Flame graph', says: 'where the time goes; zoom and search' },
  { path: 'top', title: 'Top', says: 'the most expensive functions, as text' },
  { path: 'profile', title: 'pprof', says: 'for go tool pprof, Pyroscope, Parca, Grafana' },
  { path: 'cpuprofile', title: '.cpuprofile', says: 'for Chrome DevTools, VS Code, speedscope' },
].map(
  ({
    path,
    title,
    says,
  }) => markup`<form class="card" action="${path}"><strong>${title}</strong><span class="soft">${says}</span>
<span class="go"><label><input name="seconds" type="number" min="0.1" max="${maxSeconds}" step="any" value="${Math.min(5, maxSeconds)}" aria-label="seconds"> s</label><button>Record</button></span></form>
`,
)}
<div class="card"><strong>Campaigns</strong><span class="soft">which code starts rounds of an election, how often, and how long the guard delayed them</span>
<span class="go"><a href="campaigns?debug=1">as text</a> <a href="campaigns">as pprof</a></span></div>
</div>
<p class="soft below">A recording takes as many seconds as you enter. Then the result opens, or is downloaded. Only one recording runs at a time.</p>`;

function reported(report: RunawayReport, path: string): Markup {
  const { verdict, at, forMs, cpu, suspects, files, notes, guards: held } = report;
  const links = (['flamegraph', 'top', 'profile', 'cpuprofile', 'campaigns', 'report'] as const).filter(
    (kind) => files[FILE_OF[kind]] !== undefined,
  );
  const burnt = cpu === undefined ? '' : `, ${Math.round(cpu * 100)} % CPU`;
  return markup`<article class="card wide"><p><span class="badge ${isRunaway(verdict) ? 'bad' : 'warn'}">${verdict}</span> <strong>${SAYS[verdict]}</strong>
<span class="soft">${at}${forMs > 0 && `, for ${amount(forMs * 1e6, 'nanoseconds')}`}${burnt}</span></p>
${suspects.map((suspect) => markup`<p class="figure">${describeSuspect(suspect)}</p>`)}
${held.slice(0, 1).map((guard) => markup`<p class="figure">${busiestCallSite(guard)?.stack[0] ?? 'an unknown place'} <span class="soft">is the busiest caller of "${guard.election}" (${guard.rounds} rounds by all callers)</span></p>`)}
${notes.map((note) => markup`<p class="soft">${note}</p>`)}
<p>${links.map((kind) => markup`<a href="${path}/${kind}">${kind}</a> `)}</p></article>
`;
}

const FILE_OF = {
  flamegraph: 'flameGraph',
  top: 'top',
  profile: 'pprof',
  cpuprofile: 'cpuprofile',
  campaigns: 'campaigns',
  report: 'report',
} as const;

const SAYS = {
  starved: 'The event loop did not turn',
  hot: 'The event loop kept itself busy without rest',
  rounds: 'The loop guard held a loop back',
  blocked: 'The event loop did not turn for a while, but turns again now',
  saturated: 'The event loop had no rest',
} as const;

function guards(shown: readonly GuardReport[]): Markup {
  if (shown.length === 0) return markup`<p class="soft">No round has been counted.</p>`;
  return markup`<div class="scroll"><table>
<tr><th>Election</th><th class="number">Rounds</th><th class="number">Holds</th><th class="number">Held for</th><th>Busiest caller</th></tr>
${shown.slice(0, 20).map((guard) => {
  const site = busiestCallSite(guard);
  return markup`<tr><td>${guard.election} <span class="soft">${purposeOf(guard)}</span></td><td class="number">${guard.rounds}</td><td class="number">${guard.holds}</td><td class="number">${amount(guard.heldMs * 1e6, 'nanoseconds')}</td><td class="figure">${site?.stack[0]}</td></tr>
`;
})}</table></div>`;
}

/** Most guards belong to a campaign, so the page names only other purposes. */
const purposeOf = ({ purpose }: GuardReport): string => (purpose === 'campaign' ? '' : purpose);

const STYLE = `
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
`;
