import fs from 'node:fs'
import os from 'node:os'
import { setTimeout as wait } from 'node:timers/promises'
import type { NbdClient } from '@varve/nbd'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { ChangedAreas, SnapshotRecord, VmRecord } from './datastore.ts'
import { STEP_NAMES, type StepName } from './step.ts'
import {
  type Bounds,
  type Contents,
  CrashModel,
  decode,
  differingGranules,
  fill,
  type KnownSnapshot,
  SECTOR,
} from './testing/crash-model.ts'
import { CrashProcess } from './testing/crash-process.ts'

const K = 65536
/** Fewer rounds are the daily size; VARVE_CRASH_ROUNDS=200 the nightly one. */
const ROUNDS = Number(process.env.VARVE_CRASH_ROUNDS ?? 20)
const SIZES = { ide0: 20 * K + SECTOR, virtio1: 6 * K } as const
const DISKS = ['ide0', 'virtio1'] as const
const WRITERS = 4

let folder: string

beforeEach(() => {
  folder = fs.mkdtempSync(`${os.tmpdir()}/varve-crash-`)
})
afterEach(() => {
  fs.rmSync(folder, { recursive: true, force: true })
})

/** One VM that lives through many kills. */
class Ordeal {
  readonly model = new CrashModel(SIZES, WRITERS)
  vm = ''
  snapshots: KnownSnapshot[] = []
  /** Asked for, not yet seen: by name. */
  readonly #asked = new Map<string, Bounds>()
  readonly #dying = new Set<string>()
  #names = 0
  readonly counts = { writes: 0, snapshots: 0, deletes: 0, answers: 0, resets: 0, expired: 0 }

  async create(): Promise<void> {
    const child = (await CrashProcess.start(folder))!
    this.vm = (await child.call<VmRecord>({ op: 'create', disks: DISKS.map(id => ({ id, size: SIZES[id] })) })).id
    await child.call({ op: 'cbt', vm: this.vm, change: 'enable' })
    await child.kill()
  }

  async read(child: CrashProcess, snapshot?: string): Promise<Contents> {
    const contents: Contents = new Map()
    for (const disk of DISKS) {
      const client = await child.connect(snapshot === undefined ? `${this.vm}/${disk}` : `${this.vm}/${disk}/${snapshot}`)
      const bytes = Buffer.alloc(SIZES[disk])
      await client.readInto(0, bytes)
      await client.close()
      contents.set(disk, decode(bytes))
    }
    return contents
  }

  /** After a restart: every acknowledged write, every snapshot, and answers that are never less than the truth. */
  async verify(child: CrashProcess): Promise<void> {
    expect(this.model.settle(await this.read(child)), 'live disk').toBeUndefined()
    const record = await child.call<VmRecord>({ op: 'vm', vm: this.vm })
    // A kill loses nothing, so nothing has to expire.
    expect(record.disks.map(disk => disk.cbt && !disk.cbtExpired)).toEqual([true, true])
    for (const known of this.snapshots) {
      if (this.#dying.has(known.record.id)) continue
      const { contents } = known
      expect(await this.read(child, known.record.id), `snapshot ${known.record.name}`).toEqual(contents)
    }
    for (const snapshot of record.snapshots) {
      if (snapshot.deleting || this.#dying.has(snapshot.id) || this.snapshots.some(known => known.record.id === snapshot.id)) continue
      await this.adopt(child, snapshot)
    }
    this.#asked.clear()
    await this.compareAnswers(child)
  }

  async adopt(child: CrashProcess, record: SnapshotRecord): Promise<void> {
    const bounds = this.#asked.get(record.name)
    if (bounds === undefined) return expect.unreachable(`snapshot ${record.name} was never asked for`)
    if (bounds.high.length === 0) this.model.close(bounds)
    const contents = await this.read(child, record.id)
    expect(this.model.wrong(bounds, contents), `instant of ${record.name}`).toBeUndefined()
    this.snapshots.push({ record, contents })
    this.counts.snapshots += 1
  }

  /** From every snapshot remembered, deleted ones too, to the newest that still is there. */
  async compareAnswers(child: CrashProcess): Promise<void> {
    const newest = this.snapshots.filter(known => !this.#dying.has(known.record.id)).at(-1)
    if (newest === undefined) return
    for (const older of [undefined, ...this.snapshots.slice(0, this.snapshots.indexOf(newest))]) {
      for (const disk of DISKS) {
        const checkpoint = older?.record.checkpointId ?? '0'
        const request = { op: 'areas', vm: this.vm, disk, snapshot: newest.record.id, checkpoint } as const
        const answer = await child.call<ChangedAreas>(request).catch(error => {
          if (error.code === 'CBT_EXPIRED') return undefined
          throw error
        })
        if (answer === undefined) {
          this.counts.expired += 1
          continue
        }
        this.counts.answers += 1
        const before = older?.contents.get(disk) ?? new Uint32Array(SIZES[disk] / SECTOR)
        const answered = new Set(answer.areas.flatMap(a => Array.from({ length: Math.ceil(a.length / K) }, (_, i) => a.start / K + i)))
        for (const granule of differingGranules(before, newest.contents.get(disk)!)) {
          if (!answered.has(granule)) expect.unreachable(`${disk}: granule ${granule} changed since ${checkpoint} and is not in the answer`)
        }
      }
    }
  }

  /** Guests write and snapshots come and go until the child is dead. */
  async live(child: CrashProcess): Promise<void> {
    const disks = new Map<string, NbdClient>()
    try {
      for (const disk of DISKS) disks.set(disk, await child.connect(`${this.vm}/${disk}`))
    } catch (error) {
      return await diedOrThrow(child, error)
    }
    await Promise.all([this.operate(child), ...Array.from({ length: WRITERS }, (_, w) => this.write(child, disks, w))])
  }

  async write(child: CrashProcess, disks: ReadonlyMap<string, NbdClient>, writer: number): Promise<void> {
    while (!child.dead) {
      const disk = DISKS[Math.random() < 0.7 ? 0 : 1]!
      const sector = Math.floor(Math.random() * Math.floor(SIZES[disk] / SECTOR / WRITERS)) * WRITERS + writer
      const op = this.model.send(writer, disk, sector, Math.random() < 0.15)
      try {
        const client = disks.get(disk)!
        if (op.value === 0) await client.trim(sector * SECTOR, SECTOR)
        else await client.write(sector * SECTOR, fill(op.value))
      } catch {
        // Not acknowledged: it may be there or not.
        await child.exited
        return
      }
      this.model.acknowledged(writer)
      this.counts.writes += 1
    }
  }

  async operate(child: CrashProcess): Promise<void> {
    try {
      for (;;) {
        await wait(Math.random() * 10)
        const dice = Math.random()
        const there = this.snapshots.filter(known => !this.#dying.has(known.record.id))
        if (dice < 0.05) {
          await child.call({ op: 'cbt', vm: this.vm, change: 'reset' })
          this.counts.resets += 1
        } else if (dice < 0.5 && there.length < 4) {
          this.#names += 1
          const bounds = this.model.bounds()
          this.#asked.set(`s${this.#names}`, bounds)
          const record = await child.call<SnapshotRecord>({ op: 'snapshot', vm: this.vm, name: `s${this.#names}` })
          this.model.close(bounds)
          await this.adopt(child, record)
          this.#asked.delete(record.name)
        } else if (there.length > 1) {
          const victim = there[Math.floor(Math.random() * there.length)]!
          this.#dying.add(victim.record.id)
          await child.call({ op: 'delete', vm: this.vm, snapshot: victim.record.id })
          this.counts.deletes += 1
          // Some that are gone stay known: their checkpoints must still be answered for.
          this.snapshots = this.snapshots.filter((known, i) => i >= this.snapshots.length - 8 || !this.#dying.has(known.record.id))
        }
      }
    } catch (error) {
      await diedOrThrow(child, error)
    }
  }

  /** Take up again the deletes that a kill cut off. */
  async finishDeletes(child: CrashProcess): Promise<void> {
    const { snapshots } = await child.call<VmRecord>({ op: 'vm', vm: this.vm })
    for (const { id } of snapshots) {
      if (this.#dying.has(id)) await child.call({ op: 'delete', vm: this.vm, snapshot: id })
    }
  }
}

/** A connection notices a kill before we hear of it: such an error is none. */
async function diedOrThrow(child: CrashProcess, error: unknown): Promise<void> {
  if (!child.dead) await Promise.race([child.exited, wait(3000)])
  if (!child.dead) throw error
}

test(`${ROUNDS} kills at random moments under NBD writes, snapshots and merges`, { timeout: 20_000 + ROUNDS * 3000 }, async () => {
  const ordeal = new Ordeal()
  await ordeal.create()
  for (let round = 0; round < ROUNDS; round++) {
    const child = (await CrashProcess.start(folder))!
    try {
      await ordeal.verify(child)
      if (round % 3 === 0) await ordeal.finishDeletes(child)
      const life = ordeal.live(child)
      life.catch(() => {})
      await wait(20 + Math.random() * 200)
      await child.kill()
      await life
    } finally {
      await child.kill()
    }
  }
  const child = (await CrashProcess.start(folder))!
  await ordeal.verify(child)
  await child.stop()
  console.log(JSON.stringify(ordeal.counts))
  expect(ordeal.counts.snapshots).toBeGreaterThan(ROUNDS / 4)
  expect(ordeal.counts.answers).toBeGreaterThan(ROUNDS)
})

const REVERTS: readonly StepName[] = ['revert-prepared', 'revert-committed']

test('a kill between any two steps of a snapshot, fold, merge or reset', { timeout: 60_000 }, async () => {
  const ordeal = new Ordeal()
  await ordeal.create()
  for (const step of STEP_NAMES.filter(name => !REVERTS.includes(name))) {
    const child = await CrashProcess.start(folder, { step, nth: 1 })
    // Reached inside open already, while it repaired what the kill before had left.
    if (child === undefined) continue
    try {
      await ordeal.verify(child)
      const life = ordeal.live(child)
      life.catch(() => {})
      if (step.startsWith('cbt-')) child.call({ op: 'cbt', vm: ordeal.vm, change: 'reset' }).catch(() => {})
      await Promise.race([child.exited, wait(5000).then(() => expect.unreachable(`step ${step} was never reached`))])
      await life
    } finally {
      await child.kill()
    }
  }
  const child = (await CrashProcess.start(folder))!
  await ordeal.verify(child)
  await child.stop()
  console.log(JSON.stringify(ordeal.counts))
})

test('a kill between any two steps of a revert: either the disk before it, or the snapshot with CBT expired', {
  timeout: 30_000,
}, async () => {
  for (const step of REVERTS) {
    const child = (await CrashProcess.start(folder, { step, nth: 1 }))!
    const { id: vm } = await child.call<VmRecord>({ op: 'create', disks: [{ id: 'ide0', size: 4 * K }] })
    await child.call({ op: 'cbt', vm, change: 'enable' })
    const disk = await child.connect(`${vm}/ide0`)
    await disk.write(0, fill(1))
    const { id: snapshot } = await child.call<SnapshotRecord>({ op: 'snapshot', vm, name: 's' })
    await disk.write(0, fill(2))
    await expect(child.call({ op: 'revert', vm, snapshot })).rejects.toThrow('dead')
    await child.kill()

    const again = (await CrashProcess.start(folder))!
    const bytes = Buffer.alloc(SECTOR)
    await (await again.connect(`${vm}/ide0`)).readInto(0, bytes)
    expect(decode(bytes)[0]).toBe(step === 'revert-prepared' ? 2 : 1)
    const record = await again.call<VmRecord>({ op: 'vm', vm })
    if (step === 'revert-committed') expect(record.disks[0]).toMatchObject({ cbtExpired: true })
    await (await again.connect(`${vm}/ide0/${snapshot}`)).readInto(0, bytes)
    expect(decode(bytes)[0]).toBe(1)
    await again.stop()
  }
})
