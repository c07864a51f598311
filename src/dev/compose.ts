import { execFile } from 'node:child_process';
import { get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const composeFile = fileURLToPath(new URL('../../docker-compose.yml', import.meta.url));
const endpoint = 'http://127.0.0.1:2379';

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
 * Starts the service `etcd` of this package's docker-compose.yml, on port 2379.
 *
 * @returns `undefined` if no Docker engine answers, or if Compose is missing (`docker compose` or `docker-compose`).
 * @throws {Error} if both exist and etcd does not start, for example because port 2379 is taken.
 */
export async function composeEtcd(): Promise<ComposedEtcd | undefined> {
  const compose = await findCompose();
  if (compose === undefined) return undefined;
  const stop = async (): Promise<void> => {
    await run([...compose, 'down', '--volumes'], UP_TIMEOUT_MS);
  };
  try {
    await run([...compose, 'up', '--detach', 'etcd'], UP_TIMEOUT_MS);
    await untilHealthy();
  } catch (error) {
    await stop().catch(() => {}); // the first error is the one to report
    throw error;
  }
  return { endpoints: [endpoint], stop };
}

async function findCompose(): Promise<string[] | undefined> {
  // The project name is our own, so that containers which a developer started from the same file stay.
  const file = ['--project-name', 'etcd-election-dev', '--file', composeFile];
  if (!(await succeeds(['docker', 'info']))) return undefined;
  if (await succeeds(['docker', 'compose', 'version'])) return ['docker', 'compose', ...file];
  if (await succeeds(['docker-compose', 'version'])) return ['docker-compose', ...file];
  return undefined;
}

async function untilHealthy(): Promise<void> {
  const limit = AbortSignal.timeout(UP_TIMEOUT_MS);
  while (!limit.aborted) {
    if (await isHealthy()) return;
    await sleep(POLL_MS);
  }
  throw new Error(`docker-compose.yml: etcd was not healthy on ${endpoint} in ${UP_TIMEOUT_MS} ms`);
}

function isHealthy(): Promise<boolean> {
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
  return run(command, ASK_TIMEOUT_MS).then(
    () => true,
    () => false,
  );
}

async function run([program = '', ...args]: string[], timeoutMs: number): Promise<void> {
  await promisify(execFile)(program, args, { timeout: timeoutMs });
}
