import { blocksInPage, PAGE_BLOCKS, Page } from '@varve/block-map'
import type { Extent } from '@varve/cbt'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { alignExtents, planWrites } from './write-plan.ts'

// Tiny: blocks of 4 bytes, so that two pages are 8192 bytes; what matters happens around the page boundary.
const BLOCK = 4
const START = PAGE_BLOCKS * BLOCK - 24
const hash = new Uint8Array(32)
const location = { packId: 'a'.repeat(32), offset: 0, storedLength: 1, codec: 0 } as const

/** Extents around the boundary of pages 0 and 1, and which blocks there are stored. */
const scene = fc.record({
  stored: fc.uniqueArray(fc.integer({ min: START / BLOCK, max: START / BLOCK + 11 })),
  steps: fc.array(fc.tuple(fc.integer({ min: 0, max: 7 }), fc.integer({ min: 1, max: 9 })), { minLength: 1, maxLength: 4 }),
  tail: fc.integer({ min: 1, max: 8 }),
})

interface Scene {
  readonly stored: readonly number[]
  readonly steps: readonly (readonly [number, number])[]
  readonly tail: number
}

function open({ stored, steps, tail }: Scene) {
  const extents: Extent[] = []
  let at = START
  for (const [gap, length] of steps) {
    extents.push({ offset: at + gap, length })
    at += gap + length
  }
  const diskSize = Math.max(at, START + 48) + tail
  const pages = [0, 1].map(index => Page.empty(index, blocksInPage(diskSize, BLOCK, index)))
  for (const block of stored) pages[Math.floor(block / PAGE_BLOCKS)]!.setStored(block % PAGE_BLOCKS, hash, location)
  const lookup = (index: number) => pages[index] ?? ('zero' as const)
  return { extents, geometry: { diskSize, blockSize: BLOCK }, pages: { firstPage: 0, pageCount: 2, lookup } }
}

/** The slow model: what is to be done with each byte. */
function paint(size: number, parts: Iterable<Extent>, mark: number, bytes: Uint8Array = new Uint8Array(size)): Uint8Array {
  for (const { offset, length } of parts) {
    for (let at = offset; at < offset + length; at++) {
      expect(bytes[at]).toBe(0)
      bytes[at] = mark
    }
  }
  return bytes
}

test('with extents: each of their bytes is written once, from its block or as zero, and no other', () => {
  fc.assert(
    fc.property(scene, given => {
      const { extents, geometry, pages } = open(given)
      const plan = planWrites(pages, extents, geometry)
      const found = paint(geometry.diskSize, plan.zeros, 1)
      for (const { blockIndex, parts } of plan.blocks) {
        paint(geometry.diskSize, parts, 2, found)
        for (const { offset, length } of parts) {
          expect(Math.floor(offset / BLOCK)).toBe(blockIndex)
          expect(Math.floor((offset + length - 1) / BLOCK)).toBe(blockIndex)
        }
      }
      const stored = new Set(given.stored)
      const model = paint(geometry.diskSize, extents, 1).map((mark, at) => (mark === 1 && stored.has(Math.floor(at / BLOCK)) ? 2 : mark))
      expect(Buffer.compare(found, model)).toBe(0)
      expect(new Set(plan.blocks.map(block => block.blockIndex)).size).toBe(plan.blocks.length)
    }),
  )
})

test('without extents: the stored blocks, whole', () => {
  fc.assert(
    fc.property(scene, given => {
      const { geometry, pages } = open(given)
      const plan = planWrites(pages, [], geometry)
      expect(plan.zeros).toEqual([])
      expect(plan.blocks.map(({ blockIndex }) => blockIndex)).toEqual(given.stored.toSorted((a, b) => a - b))
      for (const { blockIndex, parts } of plan.blocks) {
        const offset = blockIndex * BLOCK
        expect(parts).toEqual([{ offset, length: Math.min(BLOCK, geometry.diskSize - offset) }])
      }
    }),
  )
})

test('alignExtents: the smallest aligned extents around, apart from each other, inside the disk', () => {
  fc.assert(
    fc.property(scene, fc.constantFrom(1, 2, 4, 8), (given, minimum) => {
      const { extents, geometry } = open(given)
      const { diskSize } = geometry
      const aligned = alignExtents(extents, minimum, diskSize)
      const model = new Uint8Array(diskSize)
      for (const { offset, length } of extents) {
        for (let at = offset; at < offset + length; at++) {
          const start = at - (at % minimum)
          model.fill(1, start, Math.min(start + minimum, diskSize))
        }
      }
      expect(Buffer.compare(paint(diskSize, aligned, 1), model)).toBe(0)
    }),
  )
})
