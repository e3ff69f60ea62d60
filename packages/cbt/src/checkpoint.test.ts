import fc from 'fast-check'
import { expect, test } from 'vitest'
import { checkpointId, formatCheckpoint, MAX_U32, parseCheckpoint, splitCheckpoint } from './checkpoint.ts'
import { CbtError } from './errors.ts'

test('ids are the documented arithmetic', () => {
  expect(checkpointId({ versionId: 1, incId: 16 })).toBe(4294967312n)
  expect(checkpointId({ versionId: 5, incId: 4 })).toBe(21474836484n)
})

test('an id and its halves are the same thing, as text too', () => {
  const u32 = fc.integer({ min: 0, max: MAX_U32 })
  fc.assert(
    fc.property(u32, u32, (versionId, incId) => {
      const id = checkpointId({ versionId, incId })
      expect(splitCheckpoint(parseCheckpoint(formatCheckpoint(id)))).toEqual({ versionId, incId })
    }),
  )
})

test('what is not a 64-bit decimal number is refused', () => {
  for (const text of ['', '-1', '1.5', '0x10', ' 1', '18446744073709551616', '9'.repeat(5000), '1e3']) {
    expect(() => parseCheckpoint(text), text.slice(0, 30)).toThrow(CbtError)
  }
  expect(parseCheckpoint('18446744073709551615')).toBe(0xffff_ffff_ffff_ffffn)
  expect(() => splitCheckpoint(-1n)).toThrow(CbtError)
})
