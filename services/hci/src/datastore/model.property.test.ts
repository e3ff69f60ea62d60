import fs from 'node:fs'
import os from 'node:os'
import type { NbdBackend } from '@varve/nbd'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Datastore, SnapshotRecord } from './datastore.ts'
import { openDatastore } from './open-datastore.ts'

const K = 65536
const SIZES = { ide0: 5 * K + 1536, virtio1: 3 * K } as const
type DiskId = keyof typeof SIZES
const DISKS = Object.keys(SIZES) as DiskId[]

/** One disk as plain arrays. */
interface ModelDisk {
  content: Buffer
  /** Grains that have a place in some layer. */
  allocated: Set<number>
  /** Written since the last snapshot, while CBT is on. */
  pending: Set<number>
  cbt: 'off' | 'on' | 'expired'
  /** Since CBT was (re)started: what was allocated then, and what each later snapshot closed. */
  base: { version: number; inc: number; allocated: Set<number> }
  closed: { inc: number; granules: Set<number> }[]
}

interface ModelSnapshot {
  readonly record: SnapshotRecord
  readonly disks: Record<DiskId, { content: Buffer; allocated: Set<number> }>
  gone: boolean
}

function newDisk(id: DiskId): ModelDisk {
  return {
    content: Buffer.alloc(SIZES[id]),
    allocated: new Set(),
    pending: new Set(),
    cbt: 'off',
    base: { version: 0, inc: 0, allocated: new Set() },
    closed: [],
  }
}

/** The datastore and its model, changed together. */
class Pair {
  store!: Datastore
  vm = ''
  version = 0
  inc = 0
  readonly folder: string
  readonly disks: Record<DiskId, ModelDisk> = { ide0: newDisk('ide0'), virtio1: newDisk('virtio1') }
  readonly snapshots: ModelSnapshot[] = []
  #names = 0

  constructor(folder: string) {
    this.folder = folder
  }

  async open(): Promise<void> {
    // Small caches and slow merges, so that eviction and overlap happen.
    this.store = await openDatastore(this.folder, { cachePages: 2, mergeRate: 20 * 2 ** 20 })
    if (this.vm === '') {
      const disks = DISKS.map(id => ({ id, size: SIZES[id] }))
      this.vm = (await this.store.createVm({ name: 'vm', config: {}, disks })).id
    }
  }

  live(id: DiskId): Promise<NbdBackend> {
    return this.store.openDisk(this.vm, id)
  }

  async write(id: DiskId, at: number, length: number, value: number): Promise<void> {
    const disk = this.disks[id]
    const offset = at % disk.content.length
    const end = Math.min(disk.content.length, offset + length)
    if (end === offset) return
    disk.content.fill(value, offset, end)
    for (let g = Math.floor(offset / K); g * K < end; g++) {
      disk.allocated.add(g)
      if (disk.cbt === 'on') disk.pending.add(g)
    }
    await (await this.live(id)).write(offset, Buffer.alloc(end - offset, value), value % 5 === 0)
  }

  async zero(id: DiskId, at: number, length: number, trim: boolean): Promise<void> {
    const disk = this.disks[id]
    const offset = at % disk.content.length
    const end = Math.min(disk.content.length, offset + length)
    if (end === offset) return
    disk.content.fill(0, offset, end)
    for (let g = Math.floor(offset / K); g * K < end; g++) {
      if (g * K >= offset && Math.min((g + 1) * K, disk.content.length) <= end) disk.allocated.delete(g)
      if (disk.cbt === 'on') disk.pending.add(g)
    }
    const backend = await this.live(id)
    if (trim) await backend.trim(offset, end - offset, false)
    else await backend.writeZeroes(offset, end - offset, false, true)
  }

  async snapshot(): Promise<void> {
    if (this.snapshots.filter(s => !s.gone).length >= 4) return
    const tracked = DISKS.some(id => this.disks[id].cbt !== 'off')
    if (tracked) this.inc += 1
    for (const id of DISKS) {
      const disk = this.disks[id]
      if (disk.cbt !== 'on') continue
      disk.closed.push({ inc: this.inc, granules: disk.pending })
      disk.pending = new Set()
    }
    const of = (id: DiskId) => ({ content: Buffer.from(this.disks[id].content), allocated: new Set(this.disks[id].allocated) })
    this.#names += 1
    const record = await this.store.createSnapshot(this.vm, { name: `s${this.#names}` })
    expect(record.checkpointId).toBe(tracked ? String((BigInt(this.version) << 32n) | BigInt(this.inc)) : '0')
    this.snapshots.push({ record, disks: { ide0: of('ide0'), virtio1: of('virtio1') }, gone: false })
  }

  /** Delete a snapshot while writes go on. */
  async deleteSnapshot(which: number, writes: readonly (() => Promise<void>)[]): Promise<void> {
    const there = this.snapshots.filter(s => !s.gone)
    const snapshot = there[which % Math.max(1, there.length)]
    if (snapshot === undefined) return
    snapshot.gone = true
    const done = this.store.deleteSnapshot(this.vm, snapshot.record.id)
    for (const write of writes) await write()
    await done
  }

  async setCbt(change: 'enable' | 'disable' | 'reset', only: DiskId | undefined): Promise<void> {
    const ids = change === 'reset' || only === undefined ? DISKS : [only]
    const affected = ids.filter(id => (change === 'enable' ? this.disks[id].cbt === 'off' : this.disks[id].cbt !== 'off'))
    if (affected.length > 0 && change !== 'disable') this.version = change === 'enable' ? Math.max(1, this.version) : this.version + 1
    for (const id of affected) {
      const disk = this.disks[id]
      if (change === 'disable') {
        disk.cbt = 'off'
        continue
      }
      if (disk.cbt !== 'on') disk.pending = new Set()
      disk.cbt = 'on'
      disk.base = { version: this.version, inc: this.inc + 1, allocated: new Set(disk.allocated) }
      disk.closed = []
    }
    await this.store.setCbt(this.vm, change, change === 'reset' || only === undefined ? undefined : [only])
  }

  async revert(which: number): Promise<void> {
    const there = this.snapshots.filter(s => !s.gone)
    const snapshot = there[which % Math.max(1, there.length)]
    if (snapshot === undefined) return
    for (const newer of there.slice(there.indexOf(snapshot) + 1)) newer.gone = true
    for (const id of DISKS) {
      const disk = this.disks[id]
      disk.content = Buffer.from(snapshot.disks[id].content)
      disk.allocated = new Set(snapshot.disks[id].allocated)
      if (disk.cbt !== 'off') disk.cbt = 'expired'
    }
    await this.store.revertSnapshot(this.vm, snapshot.record.id)
  }

  async reopen(): Promise<void> {
    await this.store.close()
    await this.open()
  }

  async check(): Promise<void> {
    for (const id of DISKS) {
      const disk = this.disks[id]
      await sameDisk(await this.live(id), disk.content, disk.allocated)
      for (const snapshot of this.snapshots) {
        if (snapshot.gone) continue
        const view = await this.store.openSnapshotDisk(this.vm, snapshot.record.id, id)
        await sameDisk(view, snapshot.disks[id].content, snapshot.disks[id].allocated)
        await this.checkAreas(id, snapshot)
      }
    }
  }

  /** For every checkpoint ever made: exactly the written granules, or the right refusal; and never less than what differs. */
  async checkAreas(id: DiskId, snapshot: ModelSnapshot): Promise<void> {
    const disk = this.disks[id]
    const own = BigInt(snapshot.record.checkpointId)
    for (const since of [undefined, ...this.snapshots]) {
      const checkpoint = since === undefined ? 0n : BigInt(since.record.checkpointId)
      if (since !== undefined && checkpoint === 0n) continue
      const got = await this.areas(id, snapshot.record.id, checkpoint)
      const inc = Number(checkpoint & 0xffff_ffffn)
      const ownInc = Number(own & 0xffff_ffffn)
      let expected: string | number[]
      if (disk.cbt === 'off') expected = 'CBT_DISABLED'
      else if (disk.cbt === 'expired') expected = 'CBT_EXPIRED'
      else if (own === 0n) expected = 'CBT_DISABLED'
      else if (own >> 32n !== BigInt(disk.base.version)) expected = 'CBT_EXPIRED'
      else if (ownInc < disk.base.inc) expected = 'CBT_DISABLED'
      else if (since !== undefined && (checkpoint >> 32n !== BigInt(disk.base.version) || inc < disk.base.inc)) expected = 'CBT_EXPIRED'
      else if (inc > ownInc) expected = 'CHECKPOINT_UNKNOWN'
      else {
        const granules = new Set(since === undefined ? disk.base.allocated : [])
        for (const closed of disk.closed) if (closed.inc > inc) for (const g of closed.granules) granules.add(g)
        expected = [...granules].sort((a, b) => a - b)
        const before = since?.disks[id].content ?? Buffer.alloc(SIZES[id])
        for (let g = 0; g * K < SIZES[id]; g++) {
          if (before.subarray(g * K, (g + 1) * K).equals(snapshot.disks[id].content.subarray(g * K, (g + 1) * K))) continue
          expect(got, 'a granule that differs').toContain(g)
        }
      }
      expect(got).toEqual(expected)
    }
  }

  /** Changed granules, fetched one extent at a time; or the code of the refusal. */
  async areas(diskId: DiskId, snapshotId: string, checkpointId: bigint): Promise<number[] | string> {
    const granules: number[] = []
    try {
      for (let startOffset = 0; startOffset < SIZES[diskId]; ) {
        const answer = await this.store.changedAreas({ vmId: this.vm, diskId, snapshotId, checkpointId, startOffset, maxAreas: 1 })
        expect(answer.length).toBeGreaterThan(0)
        for (const { start, length } of answer.areas) {
          expect(start % K).toBe(0)
          expect(start + length === SIZES[diskId] || length % K === 0).toBe(true)
          for (let at = start; at < start + length; at += K) granules.push(at / K)
        }
        startOffset += answer.length
      }
      return granules
    } catch (error) {
      return (error as { code?: string }).code ?? String(error)
    }
  }
}

async function sameDisk(backend: NbdBackend, content: Buffer, allocated: ReadonlySet<number>): Promise<void> {
  const read = Buffer.alloc(content.length, 0xee)
  await backend.read(0, read)
  if (!read.equals(content)) expect.unreachable(`content differs at ${read.findIndex((byte, i) => byte !== content[i])}`)
  const holes: boolean[] = []
  for (const extent of await backend.blockStatus(0, content.length)) {
    for (let left = extent.length; left > 0; left -= K) holes.push(extent.hole)
  }
  expect(holes).toEqual(Array.from({ length: Math.ceil(content.length / K) }, (_, g) => !allocated.has(g)))
}

const diskId = fc.constantFrom(...DISKS)
const offset = fc.oneof(
  fc.nat(5).map(g => g * K),
  fc.nat(6 * K),
)
const length = fc.oneof(fc.constantFrom(1, 512, K, 2 * K), fc.nat(3 * K))
const change = fc.record({
  kind: fc.constantFrom('write', 'write', 'trim', 'zero'),
  id: diskId,
  offset,
  length,
  value: fc.integer({ min: 1, max: 250 }),
})
type Change = typeof change extends fc.Arbitrary<infer T> ? T : never

const command = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('change' as const), change }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('snapshot' as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('delete' as const), which: fc.nat(3), during: fc.array(change, { maxLength: 5 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('cbt' as const),
      change: fc.constantFrom('enable' as const, 'enable' as const, 'disable' as const, 'reset' as const),
      only: fc.option(diskId, { nil: undefined }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('revert' as const), which: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reopen' as const) }) },
)

function apply(pair: Pair, { kind, id, offset: at, length: n, value }: Change): Promise<void> {
  return kind === 'write' ? pair.write(id, at, n, value) : pair.zero(id, at, n, kind === 'trim')
}

type Command = typeof command extends fc.Arbitrary<infer T> ? T : never

/** Tracking switched on and off per disk between snapshots, and little else. */
const cbtCommand: fc.Arbitrary<Command> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('change' as const), change }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('snapshot' as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('cbt' as const),
      change: fc.constantFrom('enable' as const, 'enable' as const, 'disable' as const, 'reset' as const),
      only: fc.option(diskId, { nil: undefined, freq: 3 }),
    }),
  },
)

async function run(pair: Pair, c: Command): Promise<void> {
  if (c.do === 'change') await apply(pair, c.change)
  else if (c.do === 'snapshot') await pair.snapshot()
  else if (c.do === 'cbt') await pair.setCbt(c.change, c.only)
  else if (c.do === 'revert') await pair.revert(c.which)
  else if (c.do === 'reopen') await pair.reopen()
  else {
    await pair.deleteSnapshot(
      c.which,
      c.during.map(d => () => apply(pair, d)),
    )
  }
}

for (const [name, commands, numRuns] of [
  ['disks, snapshots, merges and changed areas', fc.array(command, { minLength: 4, maxLength: 16 }), 40],
  ['changed areas with tracking on and off', fc.array(cbtCommand, { minLength: 6, maxLength: 12 }), 50],
] as const) {
  test(`${name} are what plain arrays say`, { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.boolean(), commands, async (enableFirst, list) => {
        const folder = fs.mkdtempSync(`${os.tmpdir()}/varve-model-`)
        const pair = new Pair(folder)
        try {
          await pair.open()
          if (enableFirst) await pair.setCbt('enable', undefined)
          for (const c of list) {
            await run(pair, c)
            await pair.check()
          }
          await pair.reopen()
          await pair.check()
        } finally {
          await pair.store.close()
          fs.rmSync(folder, { recursive: true, force: true })
        }
      }),
      { numRuns },
    )
  })
}
