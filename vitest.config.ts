import { defineConfig } from 'vitest/config';

/** From source, as users import it: see `customConditions` in tsconfig.json. */
const resolve = { conditions: ['etcd-election:source'] };
const ssr = { resolve };

// One project after the other: what measures time must not run beside what burns it.
export default defineConfig({
  test: {
    retry: 0,
    reporters: ['default', './test/support/tally.ts'],
    projects: [
      {
        resolve,
        ssr,
        test: { name: 'unit', include: ['test/unit/**/*.test.ts'], sequence: { groupOrder: 0 } },
      },
      {
        resolve,
        ssr,
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts', 'test/issues/**/*.test.ts'],
          globalSetup: './test/support/shared-etcd.ts',
          testTimeout: 60_000,
          hookTimeout: 120_000,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        resolve,
        ssr,
        test: {
          name: 'faults',
          include: ['test/faults/**/*.test.ts'],
          globalSetup: './test/support/shared-etcd.ts',
          testTimeout: 120_000,
          hookTimeout: 120_000,
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
