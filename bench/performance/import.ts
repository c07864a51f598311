/**
 * The cost of importing the package, beside etcd3 alone, which its users import anyway. As built, in a fresh
 * process each.
 */
import { execFile } from 'node:child_process';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { median } from './figures.ts';

export interface ImportRow {
  readonly what: string;
  readonly cpuMs: number;
  readonly wallMs: number;
  readonly residentBytes: number;
  readonly heapBytes: number;
}

export interface ImportResult {
  readonly rows: readonly ImportRow[];
}

const run = promisify(execFile);

export async function imports(times: number): Promise<ImportResult> {
  const root = process.cwd();
  const built = await mkdtemp(join(root, 'node_modules/.cache/etcd-election-built-'));
  try {
    const dist = join(built, 'dist');
    await cp('package.json', join(built, 'package.json'));
    await run('npx', ['tsc', '-p', 'tsconfig.build.json', '--outDir', dist]);
    await run(process.execPath, ['scripts/bundle-package.mjs', dist]);
    const ours = pathToFileURL(join(dist, 'index.js')).href;
    const whats = {
      'nothing (Node itself)': [],
      etcd3: ['etcd3'],
      'etcd3, zod, pino, cockatiel': ['etcd3', 'zod', 'pino', 'cockatiel'],
      'etcd3 and etcd-election': ['etcd3', ours],
    };
    const seen: Record<string, Omit<ImportRow, 'what'>[]> = {};
    for (let time = 0; time < times; time++)
      for (const [what, modules] of Object.entries(whats)) (seen[what] ??= []).push(await once(modules));
    const rows = Object.entries(seen).map(([what, all]) => ({
      what,
      cpuMs: median(all.map((one) => one.cpuMs)),
      wallMs: median(all.map((one) => one.wallMs)),
      residentBytes: median(all.map((one) => one.residentBytes)),
      heapBytes: median(all.map((one) => one.heapBytes)),
    }));
    return { rows };
  } finally {
    await rm(built, { recursive: true, force: true });
  }
}

async function once(modules: readonly string[]): Promise<Omit<ImportRow, 'what'>> {
  const code = `const since = process.hrtime.bigint();
${modules.map((name) => `await import(${JSON.stringify(name)});`).join('\n')}
const wallMs = Number(process.hrtime.bigint() - since) / 1e6;
const { user, system } = process.cpuUsage();
gc(); gc();
const { rss, heapUsed } = process.memoryUsage();
console.log(JSON.stringify({ wallMs, cpuMs: (user + system) / 1e3, residentBytes: rss, heapBytes: heapUsed }));`;
  const { stdout } = await run(process.execPath, ['--expose-gc', '--input-type=module', '-e', code]);
  return JSON.parse(stdout) as Omit<ImportRow, 'what'>;
}
