import type { TestProject } from 'vitest/node';
// Imported by path: a global setup is loaded outside the projects, so the condition for our source is unknown here.
import { etcdctlPath, provideEtcd } from '../../src/dev/index.ts';

/** The one etcd of a test run: a test gets it by `inject('etcd')`. */
export interface SharedEtcd {
  /** Client URLs. */
  readonly endpoints: string[];
  /** Whether this run started its processes. Otherwise it may be a container, or another owner's etcd. */
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
 * Tests that kill, freeze or fill their etcd start their own. All others share this one, each under its own key
 * prefix.
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
