import type { Catalog, Run } from '@varve/catalog-client'
import { expect, test } from 'vitest'
import { pastRuns, previewBefore } from './past-runs.ts'

const run = (over: Partial<Run>): Run =>
  ({
    id: 'now',
    kind: 'backup',
    vmId: 'vm',
    platformId: 'p',
    state: 'succeeded',
    outcome: 'succeeded',
    restorePointId: null,
    createdAt: '2026-01-01T00:00:00.000Z',
    startedAt: '2026-01-01T00:00:00.000Z',
    plannedAt: '2026-01-01T00:00:02.000Z',
    copiedAt: '2026-01-01T00:00:12.000Z',
    endedAt: '2026-01-01T00:00:13.500Z',
    totals: { read: 100, written: 50 },
    images: [{ diskId: 'd0', kind: 'full', totals: { read: 100, written: 50 } }],
    ...over,
  }) as Run
const listing = (all: readonly Run[]): Pick<Catalog, 'listRuns'> => ({
  listRuns: async ({ vmId, kind } = {}) =>
    all.filter(r => (vmId === undefined || r.vmId === vmId) && (kind === undefined || r.kind === kind)),
})

test('steps and copying of runs that succeeded, told apart; what failed or kept no times teaches nothing', async () => {
  const all = [run({}), run({ state: 'failed' }), run({ copiedAt: null }), run({ kind: 'restore' })]
  expect(await pastRuns(run({}), 'backup', listing(all))).toEqual([
    { vmId: 'vm', read: 100, copySeconds: 10, stepSeconds: 3.5, disks: [{ diskId: 'd0', kind: 'full', read: 100, stored: 50 }] },
  ])
})

test('a VM without runs of its own learns from others on its platform', async () => {
  const all = [run({ vmId: 'other' }), run({ vmId: 'far', platformId: 'q' })]
  expect((await pastRuns(run({}), 'backup', listing(all))).map(({ vmId }) => vmId)).toEqual(['other'])
})

test('only a preview right before the run counts, of the same point, not older than an hour', async () => {
  const now = run({ createdAt: '2026-01-01T01:00:00.000Z' })
  const preview = run({ id: 'p', kind: 'preview' })
  const before = (...earlier: Run[]) => previewBefore(now, listing([now, ...earlier]))
  expect(await before(preview)).toBe(preview)
  expect(await before()).toBeUndefined()
  expect(await before(run({ id: 'b' }), preview)).toBeUndefined()
  expect(await before(run({ ...preview, outcome: 'failed' }))).toBeUndefined()
  expect(await before(run({ ...preview, createdAt: '2025-12-31T23:59:59.000Z' }))).toBeUndefined()
  const restore = run({ ...now, kind: 'restore', restorePointId: 'x' })
  expect(await previewBefore(restore, listing([restore, run({ ...preview, restorePointId: 'y' })]))).toBeUndefined()
  expect(await previewBefore(restore, listing([restore, run({ ...preview, restorePointId: 'x' })]))).toMatchObject({ id: 'p' })
})
