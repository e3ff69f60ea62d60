import fc from 'fast-check'
import { expect, test } from 'vitest'
import { NbdError } from '../errors.ts'
import { encodeRequest, type Request } from './request.ts'
import { RequestReader } from './request-reader.ts'

const request = fc.record({
  flags: fc.nat(31),
  command: fc.nat(9),
  cookie: fc.record({ high: fc.nat(0xffffffff), low: fc.nat(0xffffffff) }),
  offset: fc.oneof(fc.nat(100), fc.maxSafeNat()),
  length: fc.nat(20),
})

interface Seen {
  readonly request: Request
  readonly payload: number[] | undefined
}

function reading(seen: Seen[], ready = () => true): RequestReader {
  return new RequestReader({
    ready,
    payloadTarget: taken => (taken.flags % 2 === 0 ? new Uint8Array(taken.length) : undefined),
    request: (taken, payload) => seen.push({ request: taken, payload: payload === undefined ? undefined : [...payload] }),
  })
}

function stream(requests: readonly Request[]): Buffer {
  return Buffer.concat(requests.flatMap(sent => [encodeRequest(sent), Buffer.alloc(sent.command === 1 ? sent.length : 0, 7)]))
}

test('requests come out as they went in, however the bytes are cut and however often it is not ready', () => {
  fc.assert(
    fc.property(
      fc.array(request, { maxLength: 5 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 40 })),
      fc.infiniteStream(fc.boolean()),
      (requests, cuts, readies) => {
        const seen: Seen[] = []
        const reader = reading(seen, () => readies.next().value)
        let left = stream(requests)
        while (left.length > 0) {
          const part = left.subarray(0, cuts.next().value)
          left = left.subarray(reader.push(part))
        }
        expect(seen).toEqual(
          requests.map(sent => ({
            request: sent,
            payload: sent.command === 1 && sent.flags % 2 === 0 ? new Array(sent.length).fill(7) : undefined,
          })),
        )
        expect(reader.partial).toBe(false)
      },
    ),
  )
})

test('flipped bytes: an NbdError, or requests of bounded payload', () => {
  const bytes = stream([
    { flags: 0, command: 1, cookie: { high: 0, low: 1 }, offset: 0, length: 16 },
    { flags: 0, command: 0, cookie: { high: 0, low: 2 }, offset: 4096, length: 16 },
  ])
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, value) => {
      const flipped = Uint8Array.from(bytes)
      flipped[at] = flipped[at]! ^ value
      const reader = new RequestReader({ ready: () => true, payloadTarget: () => undefined, request: () => {} })
      try {
        expect(reader.push(flipped)).toBe(flipped.length)
      } catch (error) {
        expect(error).toBeInstanceOf(NbdError)
      }
    }),
    { numRuns: 1000 },
  )
})
