/** The watchdog's finding, for a terminal and as a picture. */
import { readFile, writeFile } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import {
  parseCpuProfile,
  toFlameGraphSvg,
  type RunawayReport,
  type Suspect,
} from 'etcd-election/diagnostics';
import { bold, dim, red } from './table.ts';

const TOP_ROWS = 8;
/** Share of all CPU time, in percent, below which a function gets no line here. */
const WORTH_A_LINE = 5;

/** Draws the flame graph beside the other evidence, and once more for the README without the paths of this machine. */
export async function drawRunaway({ files }: RunawayReport, picture: string | undefined): Promise<void> {
  const profile = parseCpuProfile(await readFile(files.cpuprofile!, 'utf8'));
  const svg = toFlameGraphSvg(profile, { title: 'The loop of the incident: CPU of its process, 2 s' });
  await writeFile(join(files.directory!, 'flame-graph.svg'), svg);
  if (picture !== undefined) await writeFile(picture, svg.replaceAll(`${process.cwd()}/`, ''));
}

export async function tellRunaway(report: RunawayReport): Promise<string> {
  const { cpu = 0, forMs, files, suspects } = report;
  const top = (await readFile(files.top!, 'utf8')).trimEnd().split('\n');
  const begin = top.findIndex((line) => line.includes('flat%'));
  const guilty = suspects.filter(({ cumPercent }, rank) => rank === 0 || cumPercent >= WORTH_A_LINE);
  const evidence = [files.flameGraph!, files.cpuprofile!, files.pprof!].map((path) => basename(path));
  const lines = [
    dim(
      'It started in the process of the first row after the measurement, so it does not change those figures.',
    ),
    '',
    red(`no rest for ${(forMs / 1000).toFixed(1)} s, ${Math.round(cpu * 100)} % of a core`),
    ...(await Promise.all(guilty.map(blame))),
    dim(
      'A CPU profile does not show the awaiting caller, because V8 cuts the stack there. The loop guard names the caller of loops through it.',
    ),
    '',
    ...top.slice(begin, begin + 1 + TOP_ROWS).map((line) => dim(line.replaceAll(`${process.cwd()}/`, ''))),
    '',
    `${relative(process.cwd(), files.directory!)}/`,
    `  flame graph  ${evidence[0]} (in a browser), flame-graph.svg`,
    `  profile      ${evidence[1]} (Chrome DevTools, VS Code), ${evidence[2]} (go tool pprof)`,
  ];
  return lines.join('\n');
}

/** A function, its place, and its busiest line. */
async function blame(suspect: Suspect): Promise<string> {
  const { file, line, hotLine = line, percent } = suspect;
  const text = (await readFile(file, 'utf8').catch(() => '')).split('\n')[hotLine - 1]?.trim() ?? '';
  const place = `${relative(process.cwd(), file)}:${hotLine}`;
  return [`${bold(suspect.function)}  ${place}  ${percent} %`, `    ${hotLine} | ${bold(text)}`].join('\n');
}
