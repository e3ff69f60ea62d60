import type { Catalog, LiveRunFacts } from '@varve/catalog-client'
import type { PlatformDriver } from '@varve/platform'
import { expect, test } from 'vitest'
import type { CheckContext } from './check-context.ts'
import { checkPlatforms } from './check-platforms.ts'
import { Findings } from './findings.ts'

const signal = new AbortController().signal
const run = '00000000-0000-4000-8000-000000000001'

/** One VM with a snapshot of a run that has ended, and the runs under way as they are now. */
function world(live: LiveRunFacts[]) {
  const deleted: string[] = []
  const ended = {
    id: run,
    kind: 'backup',
    outcome: 'succeeded',
    endedAt: '2026-03-01T10:00:00.000Z',
    platformId: 'p',
    platformVmId: 'vm-1',
  }
  const catalog: Partial<Catalog> = {
    endedRunFacts: async () => ({ items: [], next: null }),
    liveRunFacts: async () => ({ items: [...live], next: null }),
    runFacts: async () => [ended as never],
    listPlatforms: async () => [{ id: 'p', name: 'p' } as never],
  }
  const driver: Partial<PlatformDriver> = {
    async *listVms() {
      yield { id: 'vm-1', name: 'a', power: 'on', busy: false, disks: [], exclusions: [] }
    },
    listSnapshots: async () => [{ id: 's1', name: `varve-${run}` } as never],
    deleteSnapshot: async (_vm, id) => void deleted.push(id),
  }
  const findings = new Findings()
  const check = { periodic: false, createdAt: '2026-03-01T10:00:00.000Z' }
  const context = { check, catalog, platforms: { get: async () => driver }, findings, signal } as unknown as CheckContext
  return { context, findings, deleted }
}

test.each([
  ['before', 'vm-1', []],
  ['during', 'vm-1', []],
  ['during', 'vm-2', ['s1']],
])('a run that began %s the check on VM %s', async (when, platformVmId, expected) => {
  const live: LiveRunFacts[] = []
  const begin = (): unknown => live.push({ platformId: 'p', platformVmId, targetPlatformVmId: null } as LiveRunFacts)
  const { context, findings, deleted } = world(live)
  if (when === 'before') begin()
  await checkPlatforms(context, new Map(live.map(of => [of.id, of])))
  expect(findings.list()).toMatchObject([{ code: 'snapshot-of-ended-run' }])
  if (when === 'during') begin()
  await findings.sweep(() => true, signal)
  expect(deleted).toEqual(expected)
})
