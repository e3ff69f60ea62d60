import fc from 'fast-check'
import { expect, test } from 'vitest'
import { NbdError } from '../errors.ts'
import { ReadAssembly } from './read-assembly.ts'

const OFFSET = 4
const LENGTH = 12
const chunk = fc.record({ offset: fc.nat(20), length: fc.nat(6), data: fc.boolean() })

test('an assembly is what the chunks painted, and refuses what would paint outside or twice', () => {
  fc.assert(
    fc.property(fc.array(chunk, { maxLength: 10 }), chunks => {
      const assembly = new ReadAssembly(OFFSET, LENGTH)
      const painted = new Array<string>(32).fill('')
      for (const { offset, length, data } of chunks) {
        const free = painted.slice(offset, offset + length).every(cell => cell === '')
        const allowed = length > 0 && offset >= OFFSET && offset + length <= OFFSET + LENGTH && free
        try {
          if (data) expect(assembly.data(offset, length).length).toBe(length)
          else assembly.hole(offset, length)
          expect(allowed).toBe(true)
          painted.fill(data ? 'data' : 'hole', offset, offset + length)
        } catch (error) {
          if (!(error instanceof NbdError)) throw error
          expect(allowed).toBe(false)
        }
      }
      const cells = new Array<string>(32).fill('')
      let end = 0
      for (const piece of assembly.pieces) {
        expect(piece.offset).toBeGreaterThanOrEqual(end)
        end = piece.offset + piece.length
        cells.fill(piece.data ? 'data' : 'hole', piece.offset, end)
      }
      expect(cells).toEqual(painted)
      expect(assembly.complete).toBe(painted.filter(cell => cell !== '').length === LENGTH)
    }),
    { numRuns: 2000 },
  )
})
