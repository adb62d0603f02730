import { defineConfig } from 'vitest/config'

/** What has a bound in time, which the processes of other tests would use up, runs when they are done. */
const ALONE = ['test/cluster/crash.test.ts']

// Two workers: the normal machine has two cores, and many tests start child processes of their own.
const common = { pool: 'forks', testTimeout: 60_000, hookTimeout: 60_000 } as const

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...common,
          name: 'together',
          include: ['test/**/*.test.ts'],
          exclude: ALONE,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...common,
          name: 'alone',
          include: ALONE,
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
