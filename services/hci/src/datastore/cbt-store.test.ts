import fs from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { CBT_HEADER_SIZE, CBT_PAGE_SIZE, cbtPageOffset, cbtTableSize, GRANULARITY, PageCache, VERSIONS_PER_PAGE } from '@varve/cbt'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { CbtStore } from './cbt-store.ts'
import { MapFile } from './map-file.ts'
import { noStep } from './step.ts'

/** A fold of more pages than are written together, over pages that hold something and pages that do not. */

const PAGES = 150
const DISK = PAGES * VERSIONS_PER_PAGE * GRANULARITY
const CHANGED = Array.from({ length: PAGES }, (_, page) => page).filter(page => page % 3 !== 1)
const OLD = Array.from({ length: PAGES }, (_, page) => page).filter(page => page % 2 === 0)

let folder: string
let path: string
let bitmap: MapFile
/** The file before the fold, when it is open, and after it. */
let before: Buffer
let open: Buffer
let after: Buffer

beforeEach(async () => {
  folder = fs.mkdtempSync(join(os.tmpdir(), 'varve-fold-'))
  path = join(folder, 'disk.cbt')
  const header = { versionId: 1, incId: 4, baseInc: 2, folding: 0, expired: false, diskSize: DISK, trackingId: 'ab'.repeat(16) }
  const allocated = OLD.map(page => ({ from: page * VERSIONS_PER_PAGE + 5, to: page * VERSIONS_PER_PAGE + 100 }))
  const store = await CbtStore.build(path, header, allocated)
  before = fs.readFileSync(path)
  bitmap = MapFile.create(join(folder, 'bitmap'), { kind: 'dirty-bitmap', diskSize: DISK, targetInc: 5 }, new PageCache())
  for (const page of CHANGED) bitmap.map.fill(page * VERSIONS_PER_PAGE + 50, page * VERSIONS_PER_PAGE + 60, 1)
  await store.fold(bitmap, step => {
    if (step === 'fold-opened') open = fs.readFileSync(path)
  })
  after = fs.readFileSync(path)
  store.close()
})
afterEach(() => {
  bitmap.close()
  fs.rmSync(folder, { recursive: true, force: true })
})

async function foldAgain(bytes: Buffer): Promise<Buffer> {
  fs.writeFileSync(path, bytes)
  const store = CbtStore.open(path)
  try {
    await store.fold(bitmap, noStep)
    return fs.readFileSync(path)
  } finally {
    store.close()
  }
}

test('what changed is told: all of it, in order, also page by page of an answer', async () => {
  const store = CbtStore.open(path)
  const expected = CHANGED.map(page => ({ offset: (page * VERSIONS_PER_PAGE + 50) * GRANULARITY, length: 10 * GRANULARITY }))
  const whole = await store.changed(4, 0, 1000)
  expect(whole.areas.map(({ offset, length }) => ({ offset: Number(offset), length: Number(length) }))).toEqual(expected)
  for (const most of [1, 7, 64, 65]) {
    const told = []
    for (let at = 0; at < DISK; ) {
      const { areas, length } = await store.changed(4, at, most)
      expect(areas.length).toBeLessThanOrEqual(most)
      told.push(...areas.map(area => ({ offset: Number(area.offset), length: Number(area.length) })))
      at += Number(length)
    }
    expect(told).toEqual(expected)
  }
  store.close()
})

test('killed with some entries of a batch written, or all of them and any of its pages, it is taken up again to the same end', async () => {
  const pageAt = (page: number) => cbtPageOffset(DISK, page)
  const batches = Array.from({ length: Math.ceil(CHANGED.length / 64) }, (_, i) => CHANGED.slice(i * 64, (i + 1) * 64))
  expect(batches.length).toBe(2)
  const copyPage = (target: Buffer, page: number): void => {
    after.copy(target, pageAt(page), pageAt(page), pageAt(page) + CBT_PAGE_SIZE)
  }
  await fc.assert(
    fc.asyncProperty(
      fc.nat(batches.length - 1),
      fc.nat(100),
      fc.array(fc.boolean(), { minLength: 64, maxLength: 64 }),
      async (at, entries, written) => {
        const bytes = Buffer.from(open)
        const [first, batch] = [batches[at]![0]!, batches[at]!]
        for (const done of batches.slice(0, at).flat()) copyPage(bytes, done)
        const whole = entries >= batch.at(-1)! - first + 1
        const until = whole ? batch.at(-1)! + 1 : first + entries
        after.copy(bytes, CBT_HEADER_SIZE, CBT_HEADER_SIZE, CBT_HEADER_SIZE + until * 8)
        if (whole) for (const [i, page] of batch.entries()) if (written[i]) copyPage(bytes, page)
        expect((await foldAgain(bytes)).equals(after)).toBe(true)
      },
    ),
    { numRuns: 50 },
  )
})

test('a page that is damaged beside an open fold is told from one that was about to be written', async () => {
  const wrong = Buffer.from(open)
  wrong[cbtPageOffset(DISK, CHANGED[70]!) + 4 * 1000]! ^= 1
  await expect(foldAgain(wrong)).rejects.toMatchObject({ code: 'CBT_FILE_DAMAGED' })
  expect((await foldAgain(before)).equals(after)).toBe(true)
  expect(cbtTableSize(DISK)).toBe(PAGES * 8)
})
