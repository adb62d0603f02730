import { defineConfig } from 'vitest/config'

// Two workers: the normal machine has two cores, and many tests start child processes of their own.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
