import type { LiveRunFacts } from '@varve/catalog-client'
import { expect, test } from 'vitest'
import { isSilent } from './check-runs.ts'

const run = { silentSeconds: 301, waiting: false, jobWaits: false } as LiveRunFacts

test('silent is who gives no sign of life, waits for nobody, and has no job on its way', () => {
  expect(isSilent(run, 300)).toBe(true)
  expect(isSilent({ ...run, silentSeconds: 299 }, 300)).toBe(false)
  expect(isSilent({ ...run, waiting: true }, 300)).toBe(false)
  expect(isSilent({ ...run, jobWaits: true }, 300)).toBe(false)
})
