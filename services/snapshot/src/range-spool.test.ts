import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { PlannedRange } from '@varve/planning'
import { expect, test, vi } from 'vitest'
import { RangeSpool } from './range-spool.ts'

const GEOMETRY = { diskSize: 1024 ** 4, blockSize: 256 * 1024 }

function* manyRanges(count: number, extents: number): Generator<PlannedRange> {
  for (let index = 0; index < count; index++) {
    const list = Array.from({ length: extents }, (_, i) => ({ offset: (index * 1000 + i) * 131_072, length: 65_536 }))
    yield { index, firstPage: index, pageCount: 1, extents: list, bytes: extents * 65_536 }
  }
}

async function all(spool: RangeSpool): Promise<PlannedRange[][]> {
  const batches: PlannedRange[][] = []
  for await (const batch of spool.batches()) batches.push([...batch])
  return batches
}

test('what went in comes out, in order, as often as it is asked for, in batches that one call can carry', async () => {
  for (const [count, extents] of [
    [0, 0],
    [1, 1],
    [2500, 1],
    [30, 1000],
    [3, 20_000],
  ] as const) {
    const spool = await RangeSpool.fill(manyRanges(count, extents), GEOMETRY)
    const batches = await all(spool)
    expect(batches.flat()).toEqual([...manyRanges(count, extents)])
    expect(await all(spool)).toEqual(batches)
    for (const batch of batches) {
      expect(batch.length).toBeLessThanOrEqual(1000)
      if (batch.length > 1) expect(batch.reduce((sum, range) => sum + range.extents.length, 0)).toBeLessThanOrEqual(8192)
    }
    expect(spool).toMatchObject({ ranges: count, bytes: count * extents * 65_536 })
    await spool.close()
  }
})

test('a source that fails leaves no file, and a full spool has no name', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'varve-spool-test-'))
  vi.stubEnv('TMPDIR', folder)
  async function* failing() {
    yield* manyRanges(5, 1)
    throw new Error('the answer is wrong on its last page')
  }
  await expect(RangeSpool.fill(failing(), GEOMETRY)).rejects.toThrow('last page')
  const spool = await RangeSpool.fill(manyRanges(5, 1), GEOMETRY)
  expect(await readdir(folder)).toEqual([])
  await spool.close()
  vi.unstubAllEnvs()
  await rm(folder, { recursive: true })
})
