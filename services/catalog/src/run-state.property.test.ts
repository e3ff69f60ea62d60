import type { RunState } from '@varve/catalog-client'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  addVm,
  fullImage,
  rangeIds,
  rangeOf,
  result,
  startTestCatalog,
  startTestPostgres,
  type TestCatalog,
  type TestDatabases,
  until,
} from './testing/catalog-fixture.ts'

let databases: TestDatabases
let t: TestCatalog
let vmId: string
beforeAll(async () => {
  databases = await startTestPostgres()
  t = await startTestCatalog(await databases.create(), { window: 1, reconcileIntervalS: 3600 })
  vmId = await addVm(t.catalog)
})
afterAll(async () => {
  await t?.close()
  await databases?.close()
})

/** The slow, obvious model: a backup of one disk with up to two ranges. */
interface Model {
  state: RunState
  outcome: string | null
  planned: boolean
  cancel: boolean
  snapshot: boolean
  image: boolean
  ranges: number
  done: number
  sealed: boolean
}
type Answer = 'ok' | 'RUN_ENDED' | 'CONFLICT'

const over = (m: Model): boolean => !['queued', 'preparing', 'copying', 'sealing'].includes(m.state)
const refuse = (m: Model): Answer => (over(m) ? 'RUN_ENDED' : 'CONFLICT')
const finish = (m: Model, outcome: string): void => {
  m.state = 'finishing'
  m.outcome = outcome
}

const MODEL: Record<string, (m: Model) => Answer> = {
  start: m => {
    if (m.state !== 'queued' && m.state !== 'preparing') return refuse(m)
    m.state = 'preparing'
    return 'ok'
  },
  snapshot: m => {
    if (m.state === 'preparing') m.snapshot = true
    else if (over(m) || !m.snapshot) return refuse(m)
    return 'ok'
  },
  image: m => {
    if (m.state === 'preparing') m.image = true
    else if (over(m) || !m.image) return refuse(m)
    return 'ok'
  },
  ranges: m => {
    if (m.state === 'preparing') m.ranges = 2
    else if (over(m) || m.ranges === 0) return refuse(m)
    return 'ok'
  },
  planned: m => {
    if (m.planned) return 'ok'
    if (m.state !== 'preparing') return refuse(m)
    m.planned = true
    if (m.cancel) finish(m, 'cancelled')
    else m.state = m.ranges === 0 ? 'sealing' : 'copying'
    return 'ok'
  },
  complete: m => {
    if (m.done === m.ranges) return 'ok'
    if (m.state !== 'copying') return refuse(m)
    m.done += 1
    if (m.done === m.ranges) m.state = 'sealing'
    return 'ok'
  },
  seal: m => {
    if (m.sealed) return 'ok'
    if (m.state !== 'sealing') return refuse(m)
    if (!m.snapshot) return 'CONFLICT'
    m.sealed = true
    finish(m, 'succeeded')
    return 'ok'
  },
  fail: m => {
    if (!over(m)) finish(m, 'failed')
    return 'ok'
  },
  cancel: m => {
    if (over(m)) return 'ok'
    m.cancel = true
    if (m.state === 'queued' || m.state === 'copying') finish(m, 'cancelled')
    return 'ok'
  },
  close: m => {
    if (m.state === 'finishing') m.state = m.outcome as RunState
    else if (!over(m)) return refuse(m)
    return 'ok'
  },
}

interface Real {
  runId: string
  imageId: string
  pointId: string
  parentId: string | null
}

const ACTIONS: Record<string, (r: Real) => Promise<unknown>> = {
  start: r => t.catalog.startRun(r.runId),
  snapshot: r => t.catalog.recordSnapshot(r.runId, { checkpointId: '7', config: { cpu: 1 } }),
  image: async r => {
    const [image] = await t.catalog.addImages(r.runId, [fullImage()])
    r.imageId = image!.id
  },
  ranges: r => t.catalog.addRanges(r.runId, [rangeOf(r.imageId, 0), rangeOf(r.imageId, 1)]),
  planned: r => t.catalog.planned(r.runId),
  complete: async r => {
    // The dispatcher gives the next one out a moment later.
    const { state } = await t.catalog.getRun(r.runId)
    await until(async () => state !== 'copying' || (await rangeIds(t, r.runId, 'queued')).length > 0)
    const all = await rangeIds(t, r.runId)
    const left = [...(await rangeIds(t, r.runId, 'queued')), ...(await rangeIds(t, r.runId, 'planned'))]
    if (all.length === 0 || left.length === 0) return
    const { attemptId, ...range } = await t.catalog.takeRange(left[0]!, 'worker')
    if (attemptId !== null) await t.catalog.completeRange(left[0]!, attemptId, result(attemptId))
    // Not given out: what a report would be answered.
    else throw { code: range.runState === 'preparing' ? 'CONFLICT' : 'RUN_ENDED' }
  },
  seal: r =>
    t.catalog.seal(r.runId, {
      restorePointId: r.pointId,
      createdAt: '2026-01-02T03:04:05.000Z',
      manifestKey: 'points/p.json',
      parentId: r.parentId,
      images: [{ imageId: r.imageId, rootKey: 'images/i.root', merkleRoot: 'ab', cbt: true }],
    }),
  fail: r => t.catalog.failRun(r.runId, { code: 'SNAPSHOT_FAILED', message: 'no space', retryable: false }),
  cancel: r => t.catalog.cancelRun(r.runId),
  close: r => t.catalog.closeRun(r.runId),
}

/** A run without an image can neither have ranges nor be sealed: those commands need one (checked elsewhere). */
const needsImage = new Set(['ranges', 'seal', 'planned'])
/** The likely order, so that the late states are reached; with any command thrown in between. */
const likely = ['start', 'snapshot', 'image', 'ranges', 'planned', 'complete', 'complete', 'seal', 'close']
const commands = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 2 }), fc.constantFrom(...Object.keys(MODEL))), {
    minLength: likely.length,
    maxLength: likely.length,
  })
  .map(extra => extra.flatMap(([kind, command], i) => (kind === 0 ? [command] : kind === 1 ? [likely[i]!] : [likely[i]!, command])))

test('a run accepts exactly what its state allows, whatever the order', { timeout: 60_000 }, async () => {
  const reached = new Set<string>()
  await fc.assert(
    fc.asyncProperty(commands, async names => {
      const run = await t.catalog.createBackup(vmId, {})
      const parent = await t.catalog.parentPoint(vmId)
      const r: Real = { runId: run.id, imageId: '', pointId: crypto.randomUUID(), parentId: parent?.restorePointId ?? null }
      const m: Model = {
        state: 'queued',
        outcome: null,
        planned: false,
        cancel: false,
        snapshot: false,
        image: false,
        ranges: 0,
        done: 0,
        sealed: false,
      }
      try {
        for (const name of names) {
          if (needsImage.has(name) && !m.image) continue
          const expected = MODEL[name]!(m)
          const answer = await ACTIONS[name]!(r).then(
            () => 'ok',
            error => (error as { code: string }).code,
          )
          expect(`${name}: ${answer}`).toBe(`${name}: ${expected}`)
          const now = await t.catalog.getRun(run.id)
          expect({ name, state: now.state, outcome: now.outcome, done: now.totals.rangesDone }).toEqual({
            name,
            state: m.state,
            outcome: m.outcome,
            done: m.done,
          })
          reached.add(m.state)
        }
      } finally {
        await t.catalog.failRun(run.id, { code: 'END', message: 'end', retryable: false })
        await t.catalog.closeRun(run.id)
      }
    }),
    // The examples reach every state for sure; the rest looks for what nobody thought of.
    { numRuns: 40, examples: [[likely], [['cancel', 'close']], [['start', 'fail', 'close', 'start']]] },
  )
  expect([...reached]).toEqual(expect.arrayContaining(['preparing', 'copying', 'sealing', 'finishing', 'succeeded', 'failed', 'cancelled']))
})
