import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type DispatchInput, type DispatchLimits, planDispatch, type RunUnderWay, type WaitingRun, WEIGHTS } from './dispatch-plan.ts'

/** A small world: two platforms, three hosts, three datastores; each may be unknown. */
const platform = fc.constantFrom('p1', 'p2')
const host = fc.option(fc.constantFrom('h1', 'h2', 'h3'))
const datastore = fc.constantFrom('s1', 's2', 's3')
const priority = fc.constantFrom('low', 'normal', 'high')
const count = (max: number) => fc.integer({ min: 0, max })
const disks = fc.dictionary(datastore, fc.integer({ min: 1, max: 3 }), { maxKeys: 2 })
const place = { vmId: fc.constantFrom('v1', 'v2', 'v3', 'v4'), platformId: platform, hostId: host, priority, createdAt: count(1000) }
/** So that there is room to give out, and disks to open. */
const mostlyNone = fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: count(4) })
const image = fc.record({ datastoreId: fc.option(datastore), planned: count(6), queued: mostlyNone })

const underWay = fc
  .record({ ...place, paused: fc.boolean(), images: fc.array(image, { maxLength: 4 }), disks: fc.constant({}) })
  .map(run => ({ ...run }))
const limit = fc.integer({ min: 1, max: 3 })
const limits = fc.record({ runs: limit, runsPerHost: limit, openDisksPerHost: limit, openDisksPerDatastore: limit })
const world: fc.Arbitrary<DispatchInput> = fc
  .record({
    runs: fc.array(underWay, { maxLength: 6 }),
    waiting: fc.array(fc.record({ ...place, disks }), { maxLength: 10 }),
    p1: limits,
    p2: limits,
    window: fc.integer({ min: 1, max: 8 }),
    queueWindow: fc.integer({ min: 1, max: 30 }),
  })
  .map(({ runs, waiting, p1, p2, ...rest }) => ({
    ...rest,
    now: 2000,
    limits: new Map([
      ['p1', p1],
      ['p2', p2],
    ]),
    runs: runs.map((run, r) => ({ ...run, id: `r${r}`, images: run.images.map((image, i) => ({ ...image, id: `r${r}i${i}` })) })),
    waiting: waiting.map((run, w) => ({ ...run, id: `w${w}` })),
  }))

const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0)
const queuedOf = (run: RunUnderWay): number => sum(run.images.map(image => image.queued))
const countBy = <T>(list: readonly T[], key: (item: T) => string | null): Map<string, number> => {
  const counts = new Map<string, number>()
  for (const item of list) {
    const k = key(item)
    if (k !== null) counts.set(k, (counts.get(k) ?? 0) + 1)
  }
  return counts
}

/** The runs as they are when the plan was carried out. */
function after(input: DispatchInput): RunUnderWay[] {
  const more = new Map(planDispatch(input).queue.map(({ imageId, count }) => [imageId, count]))
  return input.runs.map(run => ({
    ...run,
    images: run.images.map(image => {
      const moved = more.get(image.id) ?? 0
      return { ...image, planned: image.planned - moved, queued: image.queued + moved }
    }),
  }))
}

interface OpenDisk {
  readonly platformId: string
  readonly hostId: string | null
  readonly datastoreId: string | null
}
const openDisks = (runs: readonly RunUnderWay[]): OpenDisk[] =>
  runs.flatMap(run =>
    run.images.filter(image => image.queued > 0).map(image => ({ ...image, platformId: run.platformId, hostId: run.hostId })),
  )
const hostKey = (disk: OpenDisk): string | null => disk.hostId && `${disk.platformId}/${disk.hostId}`
const datastoreKey = (disk: OpenDisk): string | null => disk.datastoreId && `${disk.platformId}/${disk.datastoreId}`

/** Nothing exceeds its limit unless it did before, and then it does not grow. */
function holds(before: Map<string, number>, now: Map<string, number>, of: (limits: DispatchLimits) => number, input: DispatchInput): void {
  for (const [key, n] of now) expect(n).toBeLessThanOrEqual(Math.max(before.get(key) ?? 0, of(input.limits.get(key.split('/')[0]!)!)))
}

test('windows and open disks are never exceeded; a paused run gets nothing; what does not wait is not given out', () => {
  fc.assert(
    fc.property(world, input => {
      const now = after(input)
      const total = sum(now.map(queuedOf))
      expect(total).toBeLessThanOrEqual(Math.max(input.queueWindow, sum(input.runs.map(queuedOf))))
      for (const [i, run] of now.entries()) {
        const before = input.runs[i]!
        expect(queuedOf(run)).toBeLessThanOrEqual(Math.max(input.window, queuedOf(before)))
        if (run.paused) expect(run).toEqual(before)
        for (const { planned } of run.images) expect(planned).toBeGreaterThanOrEqual(0)
      }
      holds(countBy(openDisks(input.runs), hostKey), countBy(openDisks(now), hostKey), l => l.openDisksPerHost, input)
      holds(countBy(openDisks(input.runs), datastoreKey), countBy(openDisks(now), datastoreKey), l => l.openDisksPerDatastore, input)
    }),
    { numRuns: 400 },
  )
})

/** May one range more of this run be given out? */
function couldTakeMore(run: RunUnderWay, runs: readonly RunUnderWay[], input: DispatchInput): boolean {
  if (run.paused || queuedOf(run) >= input.window) return false
  const { openDisksPerHost, openDisksPerDatastore } = input.limits.get(run.platformId)!
  const open = openDisks(runs)
  const [hosts, datastores] = [countBy(open, hostKey), countBy(open, datastoreKey)]
  return run.images.some(({ planned, queued, datastoreId }) => {
    if (planned === 0) return false
    const disk = { platformId: run.platformId, hostId: run.hostId, datastoreId }
    const fits =
      (hosts.get(hostKey(disk) ?? '') ?? 0) < openDisksPerHost && (datastores.get(datastoreKey(disk) ?? '') ?? 0) < openDisksPerDatastore
    return queued > 0 || fits
  })
}

test('no room is left unused while a range could fill it', () => {
  fc.assert(
    fc.property(world, input => {
      const now = after(input)
      if (sum(now.map(queuedOf)) >= input.queueWindow) return
      for (const run of now) expect(couldTakeMore(run, now, input)).toBe(false)
    }),
  )
})

test('of two runs that could both take more, none is more than one range behind the other for its weight', () => {
  fc.assert(
    fc.property(world, input => {
      const now = after(input)
      const gained = now.filter((run, i) => queuedOf(run) > queuedOf(input.runs[i]!))
      for (const poor of now.filter(run => couldTakeMore(run, now, input))) {
        for (const rich of gained) {
          const last = (queuedOf(rich) - 1) / WEIGHTS[rich.priority]
          expect(last).toBeLessThanOrEqual(queuedOf(poor) / WEIGHTS[poor.priority])
        }
      }
    }),
  )
})

test('released runs fit on platform, host and datastore; each that waits on is told by what, and that is true', () => {
  fc.assert(
    fc.property(world, input => {
      const { release, held } = planDispatch(input)
      expect([...release, ...held.map(h => h.runId)].sort()).toEqual(input.waiting.map(w => w.id).sort())
      const byId = new Map(input.waiting.map(run => [run.id, run]))
      const chosen = release.map(id => byId.get(id)!)
      const placed = [...input.runs, ...chosen]
      const runsOf = (id: string) => placed.filter(run => run.platformId === id).length
      const onHost = countBy(placed, run => run.hostId && `${run.platformId}/${run.hostId}`)
      const disksOn = (run: WaitingRun | RunUnderWay, key: string): number =>
        sum(Object.entries(run.disks).map(([d, n]) => (`${run.platformId}/${d}` === key ? n : 0))) +
        ('images' in run ? run.images.filter(i => `${run.platformId}/${i.datastoreId}` === key).length : 0)
      for (const [id, of] of input.limits) {
        expect(runsOf(id)).toBeLessThanOrEqual(Math.max(of.runs, input.runs.filter(run => run.platformId === id).length))
      }
      holds(
        countBy(input.runs, run => run.hostId && `${run.platformId}/${run.hostId}`),
        onHost,
        l => l.runsPerHost,
        input,
      )
      // Each was given out while every datastore of it had room for a disk.
      for (const [i, run] of chosen.entries()) {
        const before = [...input.runs, ...chosen.slice(0, i)]
        for (const d of Object.keys(run.disks)) {
          expect(sum(before.map(other => disksOn(other, `${run.platformId}/${d}`)))).toBeLessThan(
            input.limits.get(run.platformId)!.openDisksPerDatastore,
          )
        }
      }
      for (const { runId, by } of held) {
        const run = byId.get(runId)!
        const of = input.limits.get(run.platformId)!
        if (by === 'runs') expect(runsOf(run.platformId)).toBeGreaterThanOrEqual(of.runs)
        else if (by === 'runsPerHost') expect(onHost.get(`${run.platformId}/${run.hostId}`)).toBeGreaterThanOrEqual(of.runsPerHost)
        else {
          const full = Object.keys(run.disks).map(d => sum(placed.map(other => disksOn(other, `${run.platformId}/${d}`))))
          expect(Math.max(...full)).toBeGreaterThanOrEqual(of.openDisksPerDatastore)
        }
      }
    }),
  )
})

const run = (id: string, more: Partial<RunUnderWay> = {}): RunUnderWay => ({
  id,
  vmId: id,
  platformId: 'p1',
  hostId: null,
  priority: 'normal',
  createdAt: 0,
  paused: false,
  disks: {},
  images: [{ id: `${id}-disk`, datastoreId: null, planned: 1000, queued: 0 }],
  ...more,
})
const waits = (id: string, more: Partial<WaitingRun> = {}): WaitingRun => ({
  id,
  vmId: id,
  platformId: 'p1',
  hostId: null,
  priority: 'normal',
  createdAt: 0,
  disks: {},
  ...more,
})
const input = (more: Partial<DispatchInput>): DispatchInput => ({
  runs: [],
  waiting: [],
  limits: new Map([['p1', { runs: 32, runsPerHost: 16, openDisksPerHost: 16, openDisksPerDatastore: 10 }]]),
  window: 32,
  queueWindow: 256,
  now: 100,
  ...more,
})

test('the queue is shared by weight', () => {
  const runs = (['low', 'normal', 'high'] as const).map(priority => run(priority, { priority }))
  const { queue } = planDispatch(input({ runs, window: 100, queueWindow: 70 }))
  expect(Object.fromEntries(queue.map(({ imageId, count }) => [imageId, count]))).toEqual({
    'low-disk': 10,
    'normal-disk': 20,
    'high-disk': 40,
  })
})

test('a VM that comes late gets its part of what becomes free at once, beside many and beside a huge disk', () => {
  const old = Array.from({ length: 8 }, (_, i) =>
    run(`old${i}`, { images: [{ id: `o${i}`, datastoreId: null, planned: 1e6, queued: 32 - (i === 0 ? 4 : 0) }] }),
  )
  const late = run('late', { createdAt: 99, images: [{ id: 'l', datastoreId: null, planned: 3, queued: 0 }] })
  expect(planDispatch(input({ runs: [...old, late] })).queue).toEqual([
    { imageId: 'l', count: 3 },
    { imageId: 'o0', count: 1 },
  ])
})

test('disks of one VM advance side by side, as many as the datastore bears', () => {
  const images = Array.from({ length: 5 }, (_, i) => ({ id: `d${i}`, datastoreId: 's', planned: 100, queued: 0 }))
  const limits = new Map([['p1', { runs: 1, runsPerHost: 1, openDisksPerHost: 9, openDisksPerDatastore: 3 }]])
  expect(planDispatch(input({ runs: [run('r', { images })], limits, window: 9 })).queue).toEqual(
    ['d0', 'd1', 'd2'].map(imageId => ({ imageId, count: 3 })),
  )
})

test('VMs take turns, then what waited longest for its weight goes first, and no priority waits for ever', () => {
  const waiting = [
    waits('again', { vmId: 'busy', createdAt: 0, priority: 'high' }),
    waits('young-high', { createdAt: 80, priority: 'high' }),
    waits('old-low', { createdAt: 10, priority: 'low' }),
    waits('normal', { createdAt: 70 }),
  ]
  expect(planDispatch(input({ runs: [run('busy', { images: [] })], waiting })).release).toEqual([
    'old-low',
    'young-high',
    'normal',
    'again',
  ])
})

test('an idle datastore takes a VM with more disks than may be open', () => {
  const waiting = [waits('big', { disks: { s: 40 } }), waits('next', { createdAt: 1, disks: { s: 1 } })]
  expect(planDispatch(input({ waiting }))).toMatchObject({ release: ['big'], held: [{ runId: 'next', by: 'openDisksPerDatastore' }] })
})
