import type { TestProject } from 'vitest/node';
// Imported by path: a global setup is loaded outside the projects, so the condition for our source is unknown here.
import { EtcdNotFoundError, etcdctlPath, provideEtcd } from '../../src/dev/index.ts';

/** The one etcd of a test run: a test gets it by `inject('etcd')`. */
export interface SharedEtcd {
  /** Client URLs. */
  readonly endpoints: string[];
  /** Whether this run started its processes. Otherwise it may be a container, or another owner's etcd. */
  readonly managed: boolean;
  /** Path of an `etcdctl`. Without one, the tests that need it are skipped. */
  readonly etcdctl: string | undefined;
}

declare module 'vitest' {
  interface ProvidedContext {
    etcd: SharedEtcd;
  }
}

/**
 * Tests that kill, freeze or fill their etcd start their own. All others share this one, each under its own key
 * prefix.
 */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const etcd = await provideEtcd();
  project.provide('etcd', {
    endpoints: etcd.endpoints,
    managed: etcd.managed,
    etcdctl: await etcdctlHere(),
  });
  return () => etcd.stop();
}

/** An etcd on the `PATH` may come without etcdctl. Most tests do not need it, so that must not stop them all. */
async function etcdctlHere(): Promise<string | undefined> {
  try {
    return await etcdctlPath();
  } catch (error) {
    if (!(error instanceof EtcdNotFoundError)) throw error;
    process.emitWarning(`tests that need etcdctl are skipped: ${error.message}`);
    return undefined;
  }
}
