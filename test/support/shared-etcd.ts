import type { TestProject } from 'vitest/node';
// By path: a global setup is loaded outside the projects, which know the condition for our source.
import { etcdctlPath, provideEtcd } from '../../src/dev/index.ts';

/** The one etcd of a test run: `inject('etcd')` in a test gives it. */
export interface SharedEtcd {
  /** Client URLs. */
  readonly endpoints: string[];
  /** Whether this run started it, from processes; if not, it may be a container, or anybody's. */
  readonly managed: boolean;
  /** Path of an `etcdctl`. */
  readonly etcdctl: string;
}

declare module 'vitest' {
  interface ProvidedContext {
    etcd: SharedEtcd;
  }
}

/**
 * Tests that kill, freeze or fill their etcd start one of their own. All others share this one, each under a key prefix
 * of its own.
 */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const etcd = await provideEtcd();
  project.provide('etcd', {
    endpoints: etcd.endpoints,
    managed: etcd.managed,
    etcdctl: await etcdctlPath(),
  });
  return () => etcd.stop();
}
