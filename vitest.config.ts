import { join } from 'node:path';
import { defineConfig } from 'vitest/config';
import { excludeLoopbackFromProxy } from './src/util/no-proxy.ts';

// The tests use etcd on 127.0.0.1, also on a machine with an HTTP proxy.
excludeLoopbackFromProxy();

/** From source, as users import it: see `customConditions` in tsconfig.json. */
const resolve = { conditions: ['etcd-election:source'] };
const ssr = { resolve };

/** `npm test` leaves these out, and the faults, to end within five minutes; `npm run test:all` runs everything. */
const long = [
  'abort-listeners',
  'cli',
  'cli-credentials',
  'cli-doctor',
  'cli-errors',
  'cli-foreign-cluster',
  'cli-profile',
  'cli-run',
  'cli-run-frozen',
  'cli-run-if-free',
  'cli-run-signals',
  'cli-status',
  'cli-untrusted-text',
  'cli-watch',
  'dev',
  'dev-debian',
  'diagnostics/blocks-and-deaths',
  'diagnostics/environments',
  'diagnostics/example',
  'diagnostics/false-alarms',
  'diagnostics/http',
  'diagnostics/profile-command',
  'diagnostics/runaways',
  'examples',
  'examples-frameworks',
  'examples-postgres',
  'examples-shapes',
  'examples-sync-service',
  'guard/counted-calls',
  'program-mistakes',
  'last-will',
  'last-will-endpoints',
  'long-queue',
  'packaging',
  'packaging-typescript',
  'runaway',
  'self-wait',
  'self-wait-campaign',
  'telemetry-alerts',
  'telemetry-entry-points',
  'writes',
  '../issues/idle-in-a-loop',
  '../issues/suites-and-jobs-are-fast',
].map((name) => join('test/integration', `${name}.test.ts`));

/** Also in a clone where nothing has been built. */
const bundles = './scripts/bundle-sources.mjs';

/** What the tests of `integration` and `long` share: a real etcd, two files at a time. */
const onEtcd = {
  globalSetup: [bundles, './test/support/shared-etcd.ts'],
  testTimeout: 60_000,
  hookTimeout: 120_000,
  // For what has no limit of its own. The default of one second is shorter than a stall of a busy machine.
  expect: { poll: { timeout: 10_000 } },
  maxWorkers: 2,
};

/** Three at a time: these tests pass on a machine that is busy five times over, and they wait for much of their time. */
const patient = { maxWorkers: 3 };

// One project after the other: what measures time must not run beside what burns it.
export default defineConfig({
  test: {
    retry: 0,
    reporters: ['default', './test/support/tally.ts'],
    projects: [
      {
        resolve,
        ssr,
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts'],
          globalSetup: bundles,
          testTimeout: 60_000, // a busy machine takes long for what is a second of processor time
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        resolve,
        ssr,
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts', 'test/issues/**/*.test.ts'],
          exclude: long,
          ...onEtcd,
          sequence: { groupOrder: 1 },
        },
      },
      {
        resolve,
        ssr,
        test: { name: 'long', include: long, ...onEtcd, ...patient, sequence: { groupOrder: 2 } },
      },
      {
        resolve,
        ssr,
        test: {
          name: 'simulation',
          include: ['test/simulation/**/*.test.ts'],
          maxWorkers: 2,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          sequence: { groupOrder: 4 },
        },
      },
      {
        resolve,
        ssr,
        test: {
          name: 'runtimes',
          include: ['test/runtimes/**/*.test.ts'],
          ...onEtcd,
          ...patient,
          sequence: { groupOrder: 2 },
        },
      },
      {
        resolve,
        ssr,
        test: {
          name: 'faults',
          include: ['test/faults/**/*.test.ts'],
          ...onEtcd,
          ...patient,
          testTimeout: 120_000,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});
