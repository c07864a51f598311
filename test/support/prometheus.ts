/** Debian's Prometheus and promtool, unpacked into `.etcd/prometheus`; nothing is installed. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
// Imported by path: the launcher's public entry point provides only etcd.
import { leash } from '../../src/dev/child-leash.ts';
import { debianFolder, fetchFromDebian } from '../../src/dev/debian-package.ts';
import { reservePort } from '../../src/dev/ports.ts';
import { eventually } from './eventually.ts';

const FETCH_WITHIN_MS = 90_000;
const READY_WITHIN_MS = 30_000;

/** @returns the folder of `prometheus` and `promtool`; undefined if they are not available. */
export async function prometheusFolder(): Promise<string | undefined> {
  const folder = await debianFolder('prometheus');
  if (existsSync(join(folder, 'promtool'))) return folder;
  const signal = AbortSignal.timeout(FETCH_WITHIN_MS);
  return await fetchFromDebian({ packages: ['prometheus'], folder: 'prometheus', signal }).catch(
    (error: Error) => {
      console.warn(`no Prometheus here: ${error.message}`);
      return undefined;
    },
  );
}

/**
 * @returns the output of promtool.
 * @throws with that output if its exit code is not 0.
 */
export async function promtool(folder: string, args: readonly string[]): Promise<string> {
  const ran = promisify(execFile)(join(folder, 'promtool'), args, { timeout: 60_000 });
  const { stdout, stderr } = await ran.catch((error: Error & { stdout: string; stderr: string }) => {
    throw new Error(`${error.stdout}\n${error.stderr}`, { cause: error });
  });
  return stdout + stderr;
}

export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [time: number, value: string];
}

export interface Rule {
  readonly name: string;
  readonly health: string;
  readonly lastError?: string;
  readonly state: string;
}

/** A Prometheus that scrapes every half second; it never outlives this process. */
export interface TestPrometheus extends AsyncDisposable {
  query(expression: string): Promise<Sample[]>;
  rules(): Promise<Rule[]>;
}

/** @param targets `host:port`, by job. */
export async function startPrometheus(
  folder: string,
  targets: Readonly<Record<string, string>>,
  rules: string,
): Promise<TestPrometheus> {
  const data = mkdtempSync(join(tmpdir(), 'etcd-election-prometheus-'));
  const { port } = await reservePort();
  const config = {
    global: { scrape_interval: '500ms', scrape_timeout: '500ms', evaluation_interval: '1s' },
    rule_files: [rules],
    scrape_configs: Object.entries(targets).map(([job, target]) => ({
      job_name: job,
      static_configs: [{ targets: [target] }],
    })),
  };
  writeFileSync(join(data, 'prometheus.yml'), JSON.stringify(config)); // JSON is YAML
  const child = spawn(
    join(folder, 'prometheus'),
    [
      `--config.file=${join(data, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(data, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--log.level=error',
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const ended = once(child, 'exit');
  const held = leash(child, data);
  const ask = async <T>(path: string): Promise<T> => {
    const response = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`, {
      headers: { connection: 'close' },
    });
    const answer = (await response.json()) as { status: string; error?: string; data: T };
    if (answer.status !== 'success') throw new Error(`${path}: ${answer.error}`);
    return answer.data;
  };
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
    held.release();
    rmSync(data, { recursive: true, force: true, maxRetries: 3 });
  };
  try {
    await eventually(
      async () => (await fetch(`http://127.0.0.1:${port}/-/ready`, { headers: { connection: 'close' } })).ok,
      {
        withinMs: READY_WITHIN_MS,
      },
    );
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    query: async (expression) =>
      (await ask<{ result: Sample[] }>(`query?query=${encodeURIComponent(expression)}`)).result,
    rules: async () =>
      (await ask<{ groups: { rules: Rule[] }[] }>('rules')).groups.flatMap((group) => group.rules),
    [Symbol.asyncDispose]: stop,
  };
}
