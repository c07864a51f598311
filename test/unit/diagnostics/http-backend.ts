/** Requests to the diagnostic pages, and a backend that serves them. */
import type { RunawayReport } from '../../../src/diagnostics/evidence/report.ts';
import { NO_SNAPSHOT } from '../../../src/diagnostics/elections.ts';
import type { Request } from '../../../src/diagnostics/http/rules.ts';
import type { Backend } from '../../../src/diagnostics/http/routes.ts';
import { sampleProfile } from '../../support/sample-profile.ts';

export const TOKEN = 'correct-horse-battery';
export const open = { token: undefined, allowedHosts: ['ops.example'] };
export const locked = { ...open, token: TOKEN };

export const request = (url: string, more: Partial<Request> = {}): Request => ({
  method: 'GET',
  url,
  headers: { host: '127.0.0.1:6161', ...more.headers },
  signal: new AbortController().signal,
  ...(more.method !== undefined && { method: more.method }),
});

export const runaway: RunawayReport = {
  verdict: 'hot',
  at: '2026-01-01T00:00:00.000Z',
  pid: 42,
  forMs: 10_000,
  suspects: [],
  guards: [],
  leading: [],
  evidence: 'none',
  files: {},
  notes: [],
  ended: false,
};

export const backend = (more: Partial<Backend> = {}): Backend => ({
  profile: () => Promise.resolve({ profile: sampleProfile(), takenAt: 0 }),
  snapshot: () => Promise.resolve(NO_SNAPSHOT),
  isTurning: () => Promise.resolve(true),
  hasMetrics: false,
  metrics: () => Promise.resolve(''),
  runaways: () => [],
  notices: () => [],
  ...more,
});
