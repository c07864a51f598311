import type { CpuProfile } from './cpu-profile.ts';
import { renderFlameSvg } from './flame-graph.ts';
import { renderFlamePage } from './flame-page.ts';
import { fold } from './fold.ts';
import { encodePprof } from './pprof.ts';
import { type Suspect, suspects } from './suspects.ts';
import { renderTop } from './top.ts';

/** @returns pprof's own format, gzipped, for `go tool pprof`, Pyroscope, Parca and Grafana. */
export const toPprof = (profile: CpuProfile): Uint8Array<ArrayBuffer> => encodePprof(fold(profile));

/** @returns the table of `go tool pprof -top`. `rows`: how many functions. Default: 20. */
export const toTop = (profile: CpuProfile, { rows = 20 }: { rows?: number | undefined } = {}): string =>
  renderTop(fold(profile), rows);

/** @returns a flame graph as one HTML page that loads nothing else, with zoom, search and figures. */
export const toFlameGraph = (
  profile: CpuProfile,
  { title = 'CPU profile' }: { title?: string | undefined } = {},
): string => renderFlamePage(fold(profile), title).html;

/** @returns a flame graph as one SVG picture with tooltips, for a README or a report. */
export const toFlameGraphSvg = (
  profile: CpuProfile,
  { title = 'CPU profile' }: { title?: string | undefined } = {},
): string => renderFlameSvg(fold(profile), title);

/** @returns the functions to blame for the CPU time, the likeliest first. `atMost`: how many. Default: 3. */
export const findSuspects = (
  profile: CpuProfile,
  { atMost = 3 }: { atMost?: number | undefined } = {},
): Suspect[] => suspects(fold(profile), atMost);
