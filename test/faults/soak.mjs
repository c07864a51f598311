// Builds the soak, or the script that LAB names, and runs it: Node 20 cannot run TypeScript.
import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import bundleSources from '../../scripts/bundle-sources.mjs';

const scripts = {
  soak: new URL('./lab/soak.ts', import.meta.url),
  jepsen: new URL('./lab/jepsen.ts', import.meta.url),
  etcdctl: new URL('./lab/etcdctl.ts', import.meta.url),
};
const name = process.env.LAB ?? 'soak';
const entry = fileURLToPath(scripts[name]);
await bundleSources();
const folder = new URL('../../node_modules/.cache/etcd-election-lab/', import.meta.url);
await mkdir(folder, { recursive: true });
const outfile = fileURLToPath(new URL(`${name}-${process.pid}.mjs`, folder));
await build({
  entryPoints: [entry],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  conditions: ['etcd-election:source'],
  external: ['etcd3', 'pino', 'zod', 'cockatiel', 'esbuild'],
  logLevel: 'error',
});
await import(outfile);
