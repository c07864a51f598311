/** Makes the tables and plots of bench/README.md from the results of the benchmarks. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sections, table, type Results, type Row, type Section } from './sections.ts';

/**
 * Writes the plots and, without a suffix, the tables of bench/README.md.
 *
 * @param suffix of the result files: `-quick`, or empty.
 * @returns all tables.
 */
export async function report(folder: string, suffix: string): Promise<string> {
  const read = async <K extends keyof Results>(name: K): Promise<Section> => {
    const json = await readFile(join(folder, `${name}${suffix}.json`), 'utf8').catch(() => undefined);
    return json === undefined ? {} : sections[name]((JSON.parse(json) as { result: Results[K] }).result);
  };
  const found: Section[] = [];
  for (const name of Object.keys(sections) as (keyof Results)[]) found.push(await read(name));
  for (const [name, svg] of found.flatMap(({ plots = {} }) => Object.entries(plots)))
    await writeFile(join(folder, `${name}${suffix}.svg`), svg);
  const summary = targets(found.flatMap(({ summary: rows = [] }) => rows));
  const details = [
    targets(found.flatMap(({ details: rows = [] }) => rows)),
    ...found.flatMap(({ tables = [] }) => tables),
  ].join('\n\n');
  if (suffix === '') await replaceTables({ summary, details });
  return `${summary}\n\n${details}`;
}

const targets = (rows: readonly Row[]): string =>
  table(
    ['what', 'measured', 'target', ''],
    rows.map(([what, measured, target, within]) => [
      what,
      measured,
      target,
      within ? 'within' : '**not within**',
    ]),
  );

async function replaceTables(tables: Readonly<Record<string, string>>): Promise<void> {
  const path = join(process.cwd(), 'bench', 'README.md');
  let page = await readFile(path, 'utf8').catch(() => '');
  for (const [name, text] of Object.entries(tables)) {
    const [begin, end] = [`<!-- ${name}, made by npm run bench -->`, `<!-- end of ${name} -->`];
    const [from, to] = [page.indexOf(begin), page.indexOf(end)];
    if (from >= 0 && to >= 0) page = `${page.slice(0, from)}${begin}\n\n${text}\n\n${page.slice(to)}`;
  }
  await writeFile(path, page);
}
