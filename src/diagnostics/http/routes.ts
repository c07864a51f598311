import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { foldCampaigns } from '../formats/campaigns.ts';
import type { Page } from '../formats/document.ts';
import type { Snapshot } from '../elections.ts';
import { DiagnosticsError, messageOf } from '../errors.ts';
import { renderFlamePage } from '../formats/flame-page.ts';
import { fold } from '../formats/fold.ts';
import { byFirstFigure } from '../formats/folded.ts';
import {
  type Reply,
  type Request,
  type Rules,
  SAFE_HEADERS,
  refusal,
  hasToken,
  secondsOf,
  text,
} from './rules.ts';
import { healthDocument, healthReply } from './health.ts';
import { renderIndex } from './index-page.ts';
import { encodePprof } from '../formats/pprof.ts';
import type { Recording } from '../profile/record-profile.ts';
import type { EvidenceFiles, RunawayReport } from '../evidence/report.ts';
import { renderTop } from '../formats/top.ts';
import { isOpenMetrics } from './open-metrics.ts';

/** The data that the routes show, from the worker or from the main thread. */
export interface Backend {
  profile(seconds: number, signal: AbortSignal): Promise<Recording>;
  snapshot(): Promise<Snapshot>;
  isTurning(): Promise<boolean>;
  readonly hasMetrics: boolean;
  metrics(): Promise<string>;
  runaways(): readonly RunawayReport[];
  notices(): readonly RunawayReport[];
}

export type Routes = (request: Request) => Promise<Reply | undefined>;

/**
 * @returns a function that answers a request. For a path that is not ours, it returns undefined. All routes together take
 *   one profile at a time.
 */
export function routes(backend: Backend, rules: Rules, maxSeconds: number): Routes {
  const slot = new ProfileSlot();
  const isOpen = (request: Request): boolean => hasToken(request, rules);
  return async (request) => {
    const path = request.url.split('?', 1)[0] ?? '';
    const route = ROUTES[path] ?? evidenceRoute(path);
    if (route === undefined) return undefined;
    const refused = refusal(request, rules);
    if (refused !== undefined) return safe(refused);
    try {
      return safe(await route({ request, backend, maxSeconds, slot, isOpen }));
    } catch (error) {
      if (request.signal.aborted) return safe(text(499, 'the client has gone'));
      const isKnown = error instanceof DiagnosticsError;
      return safe(
        text(isKnown ? 503 : 500, isKnown ? messageOf(error) : 'failed; the cause is not shown here'),
      );
    }
  };
}

/** @param location relative, because a framework or a reverse proxy may show these pages under any path. */
export const redirect = (location: string): Reply => text(301, `see ${location}`, { location });

export const safe = (reply: Reply): Reply => ({ ...reply, headers: { ...SAFE_HEADERS, ...reply.headers } });

interface Context {
  readonly request: Request;
  readonly backend: Backend;
  readonly maxSeconds: number;
  readonly slot: ProfileSlot;
  readonly isOpen: (request: Request) => boolean;
}

type Route = (context: Context) => Promise<Reply> | Reply;

const ROUTES: Readonly<Record<string, Route | undefined>> = Object.assign(Object.create(null) as object, {
  '/debug/pprof': () => redirect('pprof/'),
  '/debug/pprof/': async ({ backend, maxSeconds }: Context) =>
    page(
      renderIndex({
        snapshot: await backend.snapshot(),
        isTurning: await backend.isTurning(),
        runaways: backend.runaways().map(withFilesThere),
        notices: backend.notices().map(withFilesThere),
        maxSeconds,
        hasMetrics: backend.hasMetrics,
      }),
    ),
  '/debug/pprof/profile': profiled((recording) =>
    pprofReply(encodePprof(fold(recording.profile, recording.takenAt)), 'profile'),
  ),
  '/debug/pprof/cpuprofile': profiled((recording) => json(recording.profile, 'main-thread.cpuprofile')),
  '/debug/pprof/top': profiled((recording) =>
    text(200, renderTop(fold(recording.profile, recording.takenAt)).trimEnd()),
  ),
  '/debug/pprof/flamegraph': profiled((recording) =>
    page(
      renderFlamePage(
        fold(recording.profile, recording.takenAt),
        `CPU of the main thread, process ${process.pid}`,
      ),
    ),
  ),
  '/debug/pprof/campaigns': campaigns,
  '/debug/election': async ({ backend }: Context) =>
    json({
      pid: process.pid,
      turning: await backend.isTurning(),
      ...(await backend.snapshot()),
      runaways: backend.runaways(),
      notices: backend.notices(),
    }),
  '/metrics': metrics,
  '/healthz': async ({ request, backend, isOpen }: Context) =>
    healthReply(
      healthDocument(...(await Promise.all([backend.snapshot(), backend.isTurning()]))),
      isOpen(request),
      /\bapplication\/json\b/.test(request.headers.accept ?? ''),
    ),
} satisfies Record<string, Route>);

/** A route that takes a profile and shows it. HEAD takes no profile, because a profile is expensive. */
function profiled(show: (recording: Recording) => Reply): Route {
  return async ({ request, backend, maxSeconds, slot }) => {
    const seconds = secondsOf(request.url, maxSeconds);
    if (typeof seconds !== 'number') return seconds;
    if (request.method === 'HEAD') return text(200, '');
    const busyForSeconds = slot.take(seconds);
    if (busyForSeconds > 0) {
      const again = { 'retry-after': String(busyForSeconds) };
      return text(429, `another profile is being taken: try again in ${busyForSeconds} s`, again);
    }
    try {
      return show(await backend.profile(seconds, request.signal));
    } finally {
      slot.free();
    }
  };
}

class ProfileSlot {
  #takenUntil: number | undefined;

  /** @returns 0 if the caller may take a profile now; otherwise the seconds after which to try again. */
  take(seconds: number): number {
    const now = performance.now();
    if (this.#takenUntil !== undefined) return Math.max(1, Math.ceil((this.#takenUntil - now) / 1000));
    this.#takenUntil = now + seconds * 1000;
    return 0;
  }

  free(): void {
    this.#takenUntil = undefined;
  }
}

async function campaigns({ request, backend }: Context): Promise<Reply> {
  const { guards, at } = await backend.snapshot();
  const folded = foldCampaigns(guards, at);
  const wantsText = new URLSearchParams(request.url.split('?')[1] ?? '').has('debug'); // as in Go
  if (!wantsText) return pprofReply(encodePprof(folded), 'campaigns');
  return text(200, `${renderTop(byFirstFigure(folded))}\n${renderTop(folded)}`.trimEnd());
}

async function metrics({ backend }: Context): Promise<Reply> {
  if (!backend.hasMetrics)
    return text(404, 'no metrics here: give the option `metrics: () => register.metrics()`');
  const body = await backend.metrics();
  // With the wrong content type, one exemplar makes the whole scrape fail.
  const type = isOpenMetrics(body)
    ? 'application/openmetrics-text; version=1.0.0'
    : 'text/plain; version=0.0.4';
  return { status: 200, headers: { 'content-type': `${type}; charset=utf-8` }, body };
}

/** Removes links to deleted files, because the folder keeps only the last reports. */
function withFilesThere(report: RunawayReport): RunawayReport {
  const files = Object.entries(report.files).filter(([, path]) => existsSync(String(path)));
  return { ...report, files: Object.fromEntries(files) as EvidenceFiles };
}

/**
 * The route to one file of a report. `/debug/pprof/runaways/0/flamegraph` is the flame graph of the last runaway. The route
 * reads only files that a report names.
 */
function evidenceRoute(path: string): Route | undefined {
  const [, list, index, kind = ''] =
    /^\/debug\/pprof\/(runaways|notices)\/(\d{1,3})\/(\w+)$/.exec(path) ?? [];
  const type = EVIDENCE[kind];
  if (index === undefined || type === undefined) return undefined;
  return async ({ backend }) => {
    const reports = list === 'runaways' ? backend.runaways() : backend.notices();
    const file = reports[Number(index)]?.files[type.file];
    if (file === undefined) return text(404, 'there is no such evidence');
    try {
      return { status: 200, headers: type.headers, body: await readFile(file) };
    } catch {
      return text(404, 'that evidence has been removed');
    }
  };
}

const download = (name: string): Record<string, string> => ({
  'content-type': 'application/octet-stream',
  'content-disposition': `attachment; filename="${name}"`,
});
const asText = { 'content-type': 'text/plain; charset=utf-8' };

const EVIDENCE: Readonly<
  Record<string, { file: keyof EvidenceFiles; headers: Record<string, string> } | undefined>
> = {
  __proto__: null as never,
  // The stored page has its own policy in a <meta>. Our default policy would also apply, and block its script.
  flamegraph: {
    file: 'flameGraph',
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': "frame-ancestors 'none'",
    },
  },
  top: { file: 'top', headers: asText },
  report: { file: 'report', headers: { 'content-type': 'application/json; charset=utf-8' } },
  profile: { file: 'pprof', headers: download('profile') },
  cpuprofile: { file: 'cpuprofile', headers: download('main-thread.cpuprofile') },
  campaigns: { file: 'campaigns', headers: download('campaigns') },
};

const page = ({ html, policy }: Page): Reply => ({
  status: 200,
  headers: { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': policy },
  body: html,
});

const pprofReply = (body: Uint8Array, name: string): Reply => ({
  status: 200,
  headers: download(name),
  body,
});

const json = (value: object, name?: string): Reply => ({
  status: 200,
  headers: {
    'content-type': 'application/json; charset=utf-8',
    ...(name !== undefined && { 'content-disposition': `attachment; filename="${name}"` }),
  },
  body: `${JSON.stringify(value)}\n`,
});
