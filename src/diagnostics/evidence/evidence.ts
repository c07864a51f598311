import { lstatSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { foldCampaigns } from '../formats/campaigns.ts';
import { DiagnosticsError } from '../errors.ts';
import { renderFlamePage } from '../formats/flame-page.ts';
import { fold } from '../formats/fold.ts';
import { encodePprof } from '../formats/pprof.ts';
import type { Recording } from '../profile/record-profile.ts';
import { type EvidenceFiles, type RunawayReport, headline } from './report.ts';
import { renderTop } from '../formats/top.ts';

export interface EvidenceLimits {
  /** Every report gets a subfolder here. undefined for `defaultDirectory()`. */
  readonly directory: string | undefined;
  readonly keep: number;
  /** Largest size of all reports together, in bytes. */
  readonly maxBytes: number;
}

export const defaultDirectory = (): string => join(tmpdir(), `etcd-election-runaways-${userName()}`);

/** In a container the user may have no name, only a number: `docker run --user 1234`, or any pod on OpenShift. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.());
  }
}

/**
 * Writes the evidence of a runaway into its own folder. Then removes old folders, to keep the limits: those of notices before
 * those of runaways. Only this user can read the new folder, because a profile contains paths and names.
 *
 * @returns the report with the paths of the written files.
 * @throws if the evidence is larger than `maxBytes`, or if a file cannot be written. Then no file of this report remains.
 */
export function writeEvidence(
  report: RunawayReport,
  recording: Recording | undefined,
  limits: EvidenceLimits,
): RunawayReport {
  const home = homeOf(limits.directory);
  const directory = join(home, folderName(report));
  const { complete, contents } = completed(report, directory, contentsOf(report, recording));
  const sizes = Object.values(contents).map(({ data }) => Buffer.byteLength(data));
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  if (bytes > limits.maxBytes) {
    throw new DiagnosticsError(
      'DIAGNOSTICS_INVALID',
      `the evidence takes ${bytes} bytes, more than the ${limits.maxBytes} allowed`,
    );
  }
  const earlier = foldersOf(home);
  mkdirSync(directory, { mode: 0o700 });
  try {
    for (const { name, data } of Object.values(contents))
      writeFileSync(join(directory, name), data, { mode: 0o600, flag: 'wx' });
    // Removed only now, because the earlier reports must stay if this report cannot be written.
    for (const name of surplus(earlier, limits.keep - 1, limits.maxBytes - bytes))
      rmSync(join(home, name), { recursive: true, force: true });
    return complete;
  } catch (error) {
    // For example, the disk is full. An incomplete report would displace a complete one later.
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
}

/**
 * Writes the file of a report again, with the notes that were added later. The old file stays if that fails, for example
 * because the disk is full or the folder is gone.
 */
export function rewriteReport(report: RunawayReport): void {
  const path = report.files.report;
  if (path === undefined) return;
  const written = `${path}.new`;
  try {
    try {
      writeFileSync(written, textOf(report), { mode: 0o600 });
      renameSync(written, path);
    } finally {
      rmSync(written, { force: true });
    }
  } catch {
    // stderr and the report in memory have the note too
  }
}

const textOf = (report: RunawayReport): string => `${JSON.stringify(report, null, 2)}\n`;

type Contents = Partial<Record<keyof EvidenceFiles, { name: string; data: string | Uint8Array }>>;

/** Adds the report itself as the last file. The report names all files. */
function completed(
  report: RunawayReport,
  directory: string,
  others: Contents,
): { complete: RunawayReport; contents: Contents } {
  const paths = Object.entries(others).map(([kind, { name }]) => [kind, join(directory, name)]);
  const name = 'report.json';
  const files = { directory, ...(Object.fromEntries(paths) as EvidenceFiles), report: join(directory, name) };
  const complete = { ...report, files };
  return { complete, contents: { ...others, report: { name, data: textOf(complete) } } };
}

function contentsOf(report: RunawayReport, recording: Recording | undefined): Contents {
  const comment = `etcd-election: ${report.verdict} at ${report.at}, pid ${report.pid}`;
  const contents: Contents = {};
  if (recording !== undefined) {
    const folded = fold(recording.profile, recording.takenAt);
    const title = `CPU profile: ${report.verdict}, process ${report.pid}`;
    contents.cpuprofile = { name: 'cpu.cpuprofile', data: JSON.stringify(recording.profile) };
    contents.pprof = { name: 'cpu.pb.gz', data: encodePprof(folded, comment) };
    contents.flameGraph = {
      name: 'flame-graph.html',
      data: renderFlamePage(folded, title, [headline(report)]).html,
    };
    contents.top = { name: 'top.txt', data: renderTop(folded) };
  }
  if (report.guards.some(({ callSites }) => callSites.length > 0)) {
    const folded = foldCampaigns(report.guards, Date.parse(report.at));
    contents.campaigns = { name: 'campaigns.pb.gz', data: encodePprof(folded, comment) };
  }
  return contents;
}

/** These names sort by time. */
const folderName = ({ at, pid, verdict }: RunawayReport): string =>
  `${at.replaceAll(':', '-')}-${pid}-${verdict}`;
const FOLDER = /^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}Z-\d+-(starved|hot|rounds|blocked|saturated)$/;

function foldersOf(home: string): { name: string; bytes: number }[] {
  const names = readdirSync(home).filter((name) => FOLDER.test(name));
  return names.map((name) => {
    try {
      const files = readdirSync(join(home, name));
      return { name, bytes: files.reduce((sum, file) => sum + statSync(join(home, name, file)).size, 0) };
    } catch {
      return { name, bytes: 0 }; // another process of this user has just removed it
    }
  });
}

/**
 * @returns the names of the folders to remove, so that at most `keep` folders and `maxBytes` bytes remain. Notices are removed
 *   before runaways, and older folders before newer ones. Pure.
 */
export function surplus(
  folders: readonly { name: string; bytes: number }[],
  keep: number,
  maxBytes: number,
): string[] {
  const rank = (name: string): number => Number(/-(blocked|saturated)$/.test(name));
  const newestFirst = [...folders].sort((a, b) => rank(a.name) - rank(b.name) || (a.name < b.name ? 1 : -1));
  let bytes = 0;
  const kept = newestFirst.findIndex((folder, index) => index >= keep || (bytes += folder.bytes) > maxBytes);
  return kept === -1
    ? []
    : newestFirst
        .slice(kept)
        .map(({ name }) => name)
        .reverse();
}

function homeOf(directory: string | undefined): string {
  const home = directory ?? defaultDirectory();
  mkdirSync(home, { recursive: true, mode: 0o700 });
  if (directory === undefined) refuseForeign(home);
  return home;
}

/** Another user may have created a folder or a link of this name in the temporary directory. */
function refuseForeign(home: string): void {
  const seen = lstatSync(home);
  const isOurs =
    seen.isDirectory() &&
    (process.getuid === undefined || (seen.uid === process.getuid() && (seen.mode & 0o077) === 0));
  if (!isOurs)
    throw new DiagnosticsError(
      'DIAGNOSTICS_INVALID',
      `${home} is not a folder of this user alone; set \`directory\``,
    );
}
