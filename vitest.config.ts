import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['packages/*/src/**/*.test.ts', 'services/*/src/**/*.test.ts', 'test/**/*.test.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Two cores: more workers only make timed tests flaky.
    maxWorkers: 2,
    reporters: ['default', './infra/scripts/closing-line-reporter.mjs'],
    // In CI a skip is a failure: the reporter checks it (see closing-line-reporter.mjs).
    passWithNoTests: false,
  },
})
