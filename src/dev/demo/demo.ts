/**
 * Three replicas of a small sync service elect a leader. Then the leader resigns, is killed, is frozen and is cut off.
 * At the end etcd is restarted. Every figure that the demo prints is measured: the leader records a time stamp
 * every 20 ms.
 */
import { parseArgs } from 'node:util';
import { excludeLoopbackFromProxy } from '../../util/no-proxy.ts';
import { type Reign } from './history.ts';
import { type Scene, scenes } from './scenes.ts';
import { Screen, span } from './screen.ts';
import { Stage, TTL_SECONDS } from './stage.ts';

const HELP = `Usage: etcd-election demo [options], or in a clone: npm run demo -- [options]

  --only <list>  some of: ${scenes.map(({ name }) => name).join(', ')}; for example --only resign,kill
  --json         print the result as JSON, and nothing else
  --verbose      show the replicas' log lines
  --help         show this help

The demo starts its own etcd, or uses the one that ETCD_ENDPOINTS names (plain http, no password).`;

/** The pause between two scenes. It is longer on a terminal, where a person reads along. */
const PAUSE_MS = { terminal: 5000, elsewhere: 1000 };
const REDRAW_MS = 100;
const TIMELINE_COLUMNS = 64;

interface Handover {
  readonly scene: string;
  readonly title: string;
  readonly before: Reign;
  readonly after: Reign;
  readonly leaderlessMs: number;
}

/** Ends the demo early, after a signal or when its output is closed. */
class Interrupted extends Error {
  readonly exitCode: number;

  constructor(exitCode: number) {
    super('interrupted');
    this.exitCode = exitCode;
  }
}

const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** @returns the exit code: 0 if every scene ran to its end, two replicas never led at once, and the tokens grew. */
export async function demo(args: string[]): Promise<number> {
  const chosen = choose(args);
  if (typeof chosen === 'string') {
    const isHelp = chosen === HELP;
    (isHelp ? console.log : console.error)(chosen);
    return isHelp ? 0 : 2;
  }
  const screen = new Screen(process.stdout);
  excludeLoopbackFromProxy(); // the replicas reach etcd through proxies of ours on 127.0.0.1
  const stop = new AbortController();
  const offStops = onStops((exitCode) => stop.abort(new Interrupted(exitCode)));
  try {
    return await play(chosen, screen, stop);
  } catch (error) {
    screen.live('');
    if (error instanceof Interrupted) {
      if (!chosen.json) screen.print('\n  Stopped. All processes of the demo have ended.');
      return error.exitCode;
    }
    console.error(`\n  The demo failed: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  } finally {
    offStops();
  }
}

interface Choice {
  readonly chosen: readonly Scene[];
  readonly json: boolean;
  readonly verbose: boolean;
}

function choose(args: string[]): Choice | string {
  try {
    const { values } = parseArgs({
      args,
      options: {
        only: { type: 'string' },
        json: { type: 'boolean', default: false },
        verbose: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
    if (values.help) return HELP;
    const names = values.only?.split(',') ?? scenes.map(({ name }) => name);
    const unknown = names.find((name) => !scenes.some((scene) => scene.name === name));
    if (unknown !== undefined) return `--only: there is no scene "${unknown}"\n\n${HELP}`;
    return {
      chosen: scenes.filter(({ name }) => names.includes(name)),
      json: values.json,
      verbose: values.verbose,
    };
  } catch (error) {
    return `${(error as Error).message}\n\n${HELP}`;
  }
}

async function play(
  { chosen, json, verbose }: Choice,
  screen: Screen,
  stop: AbortController,
): Promise<number> {
  const say = (line = ''): void => {
    if (!json) screen.print(line);
  };
  const paint = screen.paint.bind(screen);
  const pauseMs = screen.isTerminal ? PAUSE_MS.terminal : PAUSE_MS.elsewhere;
  say();
  say(`  ${paint('bold', 'etcd-election')}: three replicas of a sync service, and one of them leads`);
  say();
  if (!json) screen.live(paint('dim', '  looking for an etcd; on a new machine it may have to be fetched …'));
  const stage = await Stage.create(
    stop.signal,
    (reason) => stop.abort(reason),
    (replica, line) => verbose && say(paint('dim', `       ${replica}: ${line}`)),
  );
  const show = setInterval(() => {
    if (!json) screen.live(now(stage, screen));
  }, REDRAW_MS);
  try {
    for (const line of introduction(stage)) say(paint('dim', line));
    say();
    for (const replica of stage.replicas) replica.start();
    say(`     ${leads(await stage.untilLed(), screen)}.`);
    const handovers: Handover[] = [];
    for (const [index, scene] of chosen.entries()) {
      await stage.pause(pauseMs);
      handovers.push(await perform(scene, index + 1, stage, screen, say));
    }
    await stage.pause(pauseMs);
    await stage.finish();
    clearInterval(show);
    screen.live('');
    return report(stage, handovers, screen, json) ? 0 : 1;
  } finally {
    clearInterval(show);
    if (!json) screen.live(paint('dim', '  cleaning up …'));
    await stage.clear();
    screen.live('');
  }
}

const introduction = (stage: Stage): string[] => [
  `  ${stage.etcd}. The lease lasts ${TTL_SECONDS} s.`,
  '  Every replica is a process with its own connection to etcd.',
  '  The leader records a time stamp every 20 ms. At the end the demo compares all time stamps.',
];

async function perform(
  scene: Scene,
  number: number,
  stage: Stage,
  screen: Screen,
  say: (line?: string) => void,
): Promise<Handover> {
  const before = await stage.untilLed();
  const title = scene.title(before.replica, stage);
  say();
  say(`  ${screen.paint('bold', `${number}  ${title}.`)}`);
  await scene.strike(stage, before);
  const after = await stage.untilLedAfter(before);
  const leaderlessMs = after.firstMs - stage.latestOf(before).lastMs;
  say(`     ${leads(after, screen)}. Nobody led for ${screen.paint('yellow', span(leaderlessMs))}.`);
  say(screen.paint('dim', `     ${await scene.mend(stage, before, after)}`));
  return { scene: scene.name, title, before, after, leaderlessMs };
}

const leads = ({ replica, fencingToken }: Reign, screen: Screen): string =>
  `${screen.paint('green', `${replica} leads`)}, fencing token ${screen.paint('cyan', String(fencingToken))}`;

/** The line at the bottom of a terminal. */
function now(stage: Stage, screen: Screen): string {
  const { leader } = stage;
  const replicas = stage.replicas.map(({ name, plight }) => {
    if (leader?.replica === name) return screen.paint('green', `● ${name} leads`);
    if (plight === 'well') return `○ ${name}`;
    return screen.paint('red', `✕ ${name} ${plight}`);
  });
  return `     ${replicas.join('   ')}${leader === undefined ? screen.paint('yellow', '   nobody leads') : ''}`;
}

/** Prints the result. @returns whether the library kept its promises. */
function report(stage: Stage, handovers: readonly Handover[], screen: Screen, json: boolean): boolean {
  const { history } = stage;
  const overlaps = history.overlaps();
  const disorder = history.tokensOutOfOrder();
  const passed = overlaps.length === 0 && disorder.length === 0;
  if (json) {
    const rows = handovers.map(({ scene, title, before, after, leaderlessMs }) => ({
      scene,
      title,
      leaderBefore: before.replica,
      leader: after.replica,
      fencingToken: String(after.fencingToken),
      leaderlessMs: Math.round(leaderlessMs),
    }));
    const { acts, reigns } = history;
    screen.print(
      JSON.stringify({ handovers: rows, acts, terms: reigns.length, overlaps: overlaps.length }, null, 2),
    );
    return passed;
  }
  screen.print();
  printTable(handovers, screen);
  printTimeline(stage, screen);
  for (const [a, b] of overlaps)
    screen.print(
      screen.paint(
        'red',
        `  ${a.replica} (token ${a.fencingToken}) and ${b.replica} (token ${b.fencingToken}) led at once for ${span(Math.min(a.lastMs, b.lastMs) - b.firstMs)}.`,
      ),
    );
  for (const [a, b] of disorder)
    screen.print(screen.paint('red', `  Token ${b.fencingToken} came after token ${a.fencingToken}.`));
  const acts = history.acts.toLocaleString('en');
  if (passed)
    screen.print(
      screen.paint(
        'green',
        `  At no instant did two replicas lead (${acts} time stamps in ${history.reigns.length} terms compared).`,
      ),
    );
  else screen.print(screen.paint('red', '  That must not happen: please report it.'));
  screen.print();
  return passed;
}

function printTable(handovers: readonly Handover[], screen: Screen): void {
  const rows = handovers.map(({ title, after, leaderlessMs }) => [
    title,
    after.replica,
    String(after.fencingToken),
    span(leaderlessMs),
  ]);
  const head = ['what happened', 'then led', 'token', 'leaderless'];
  const widths = head.map((name, column) =>
    Math.max(name.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const layOut = (row: string[]): string =>
    row
      .map((cell, column) =>
        column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ');
  screen.print(`  ${screen.paint('bold', layOut(head))}`);
  for (const row of rows) screen.print(`  ${layOut(row)}`);
  screen.print();
}

/** Shows which replica led when. Every column is one instant. */
function printTimeline({ history, replicas }: Stage, screen: Screen): void {
  const { reigns } = history;
  const beginMs = reigns[0]?.firstMs ?? 0;
  const endMs = Math.max(...reigns.map(({ lastMs }) => lastMs));
  const instants = Array.from(
    { length: TIMELINE_COLUMNS },
    (_, column) => beginMs + ((endMs - beginMs) * (column + 0.5)) / TIMELINE_COLUMNS,
  );
  const leaders = instants.map((atMs) => history.leadersAt(atMs));
  for (const { name } of replicas) {
    const lane = leaders.map((leading) => (leading.includes(name) ? '█' : '·')).join('');
    screen.print(`  ${name.padEnd(6)} ${lane.replace(/█+/g, (bar) => screen.paint('green', bar))}`);
  }
  screen.print(
    screen.paint('dim', `  ${' '.repeat(6)} 0 s${span(endMs - beginMs).padStart(TIMELINE_COLUMNS - 3)}`),
  );
  screen.print();
}

/**
 * Calls `stop` on a signal, and when the output is closed (as `| head` does). Signals may come twice, as Ctrl-C does under
 * `npm run`.
 *
 * @returns a function that removes the listeners.
 */
function onStops(stop: (exitCode: number) => void): () => void {
  const listeners = Object.entries(SIGNALS).map(([name, exitCode]) => [name, () => stop(exitCode)] as const);
  for (const [name, listener] of listeners) process.on(name, listener);
  process.stdout.on('error', () => stop(1)); // never removed, because later writes fail too
  return () => {
    for (const [name, listener] of listeners) process.off(name, listener);
  };
}
