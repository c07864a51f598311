import { type ExecFileOptions, execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { reservePort } from './ports.ts';

const composeFile = fileURLToPath(new URL('../../docker-compose.yml', import.meta.url));

const ASK_TIMEOUT_MS = 5000;
/** Long enough to pull the image. */
const UP_TIMEOUT_MS = 120_000;
const POLL_MS = 100;

export interface ComposedEtcd {
  readonly endpoints: string[];
  /** Removes the container and its volume. */
  stop(): Promise<void>;
}

/**
 * Starts the service `etcd` of this package's docker-compose.yml, on a free port. Every call starts its own container. The
 * container does not end with this process: call `stop()`.
 *
 * @returns `undefined` if no Docker engine answers, or if Compose is missing (`docker compose` or `docker-compose`).
 * @throws {Error} if etcd does not start although Docker and Compose are there, or if the signal aborts.
 */
export async function composeEtcd(signal?: AbortSignal): Promise<ComposedEtcd | undefined> {
  const compose = await findCompose();
  if (compose === undefined) return undefined;
  const reservation = await reservePort();
  const { port } = reservation;
  const endpoint = `http://127.0.0.1:${port}`;
  const env = { ...process.env, ETCD_PORT: String(port) };
  const stop = async (): Promise<void> => {
    await run([...compose, 'down', '--volumes'], { timeout: UP_TIMEOUT_MS, env });
    reservation.release();
  };
  try {
    const isAborted = signal && { signal };
    await run([...compose, 'up', '--detach', 'etcd'], { timeout: UP_TIMEOUT_MS, env, ...isAborted });
    await untilHealthy(endpoint, signal);
  } catch (error) {
    await stop().catch(() => {}); // the first error is the one to report
    throw error;
  }
  return { endpoints: [endpoint], stop };
}

async function findCompose(): Promise<string[] | undefined> {
  // A new project name for every call: `down` must not remove the container of a developer, or of another test run.
  const project = `etcd-election-dev-${randomBytes(4).toString('hex')}`;
  const file = ['--project-name', project, '--file', composeFile];
  if (!(await succeeds(['docker', 'info']))) return undefined;
  if (await succeeds(['docker', 'compose', 'version'])) return ['docker', 'compose', ...file];
  if (await succeeds(['docker-compose', 'version'])) return ['docker-compose', ...file];
  return undefined;
}

async function untilHealthy(endpoint: string, signal: AbortSignal | undefined): Promise<void> {
  const limit = AbortSignal.timeout(UP_TIMEOUT_MS);
  while (!limit.aborted) {
    if (await isHealthy(endpoint)) return;
    await sleep(POLL_MS);
    signal?.throwIfAborted();
  }
  throw new Error(`docker-compose.yml: etcd was not healthy on ${endpoint} in ${UP_TIMEOUT_MS} ms`);
}

function isHealthy(endpoint: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get(`${endpoint}/health`, { agent: false, timeout: ASK_TIMEOUT_MS }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.once('timeout', () => request.destroy());
    request.once('error', () => resolve(false));
  });
}

async function succeeds(command: string[]): Promise<boolean> {
  return run(command, { timeout: ASK_TIMEOUT_MS }).then(
    () => true,
    () => false,
  );
}

async function run([program = '', ...args]: string[], options: ExecFileOptions): Promise<void> {
  await promisify(execFile)(program, args, options);
}
