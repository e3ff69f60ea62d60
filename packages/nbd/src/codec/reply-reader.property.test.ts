import fc from 'fast-check'
import { expect, test } from 'vitest'
import { NBD_CMD_BLOCK_STATUS, NBD_CMD_FLUSH, NBD_CMD_READ, NBD_REPLY_TYPE_BLOCK_STATUS } from '../constants.ts'
import { NbdError } from '../errors.ts'
import { encodeBlockStatusBody } from './chunk.ts'
import { ReadAssembly } from './read-assembly.ts'
import { encodeBodyChunk, encodeDataChunk, encodeDoneChunk, encodeErrorChunk, encodeHoleChunk, encodeSimpleReply } from './reply.ts'
import { type OpenRequest, ReplyReader } from './reply-reader.ts'

const cookie = (low: number) => ({ high: 0, low })
const DISK = Uint8Array.from({ length: 64 }, (_, index) => index + 1)

/** Four requests and the replies of a well-behaved server, interleaved. */
function scene() {
  const requests = new Map<number, OpenRequest>([
    [1, { command: NBD_CMD_READ, assembly: new ReadAssembly(8, 40), extents: undefined, error: undefined }],
    [2, { command: NBD_CMD_BLOCK_STATUS, extents: undefined, error: undefined }],
    [3, { command: NBD_CMD_FLUSH, extents: undefined, error: undefined }],
    [4, { command: NBD_CMD_READ, assembly: new ReadAssembly(0, 8), extents: undefined, error: undefined }],
  ])
  const done: number[] = []
  const reader = new ReplyReader({
    structuredReplies: true,
    allocationContext: 5,
    find: id => (done.includes(id) ? undefined : requests.get(id)),
    finished: id => done.push(id),
  })
  return { requests, done, reader }
}

const STREAM = Buffer.concat([
  encodeDataChunk(cookie(1), 28, 20, false),
  DISK.subarray(28, 48),
  encodeSimpleReply(cookie(3)),
  encodeHoleChunk(cookie(1), 12, 16, false),
  encodeBodyChunk(
    cookie(2),
    NBD_REPLY_TYPE_BLOCK_STATUS,
    encodeBlockStatusBody(5, [
      { length: 10, hole: true, zero: true },
      { length: 9, hole: false, zero: false },
    ]),
    true,
  ),
  encodeErrorChunk(cookie(4), 'EIO', 'disk on fire'),
  encodeDataChunk(cookie(1), 8, 4, false),
  DISK.subarray(8, 12),
  encodeDoneChunk(cookie(1)),
])

/** Push as the client does: straight into the target where there is one. */
function pushDirect(reader: ReplyReader, bytes: Uint8Array): void {
  let at = 0
  while (at < bytes.length) {
    const target = reader.directTarget()
    const length = Math.min(target?.length ?? 5, bytes.length - at)
    if (target === undefined) {
      reader.push(bytes.subarray(at, at + length))
    } else {
      target.set(bytes.subarray(at, at + length))
      reader.directReceived(length)
    }
    at += length
  }
}

function expectOutcome({ requests, done }: ReturnType<typeof scene>): void {
  expect(done).toEqual([3, 2, 4, 1])
  const { pieces } = requests.get(1)!.assembly!
  expect(pieces).toEqual([
    { offset: 8, length: 4, data: true },
    { offset: 12, length: 16, data: false },
    { offset: 28, length: 20, data: true },
  ])
  for (const piece of pieces) {
    if (piece.data)
      expect([...requests.get(1)!.assembly!.bytes(piece)]).toEqual([...DISK.subarray(piece.offset, piece.offset + piece.length)])
  }
  expect(requests.get(2)!.extents?.length).toBe(2)
  expect(requests.get(4)!.error).toEqual({ errno: 'EIO', message: 'disk on fire' })
}

test('cut at every byte, pushed or received straight into the target: the same outcome', () => {
  for (let cut = 0; cut <= STREAM.length; cut++) {
    for (const direct of [false, true]) {
      const stage = scene()
      for (const part of [STREAM.subarray(0, cut), STREAM.subarray(cut)]) {
        if (direct) pushDirect(stage.reader, part)
        else stage.reader.push(part)
      }
      expectOutcome(stage)
    }
  }
})

test('one byte at a time', () => {
  const stage = scene()
  for (const byte of STREAM) stage.reader.push(Uint8Array.of(byte))
  expectOutcome(stage)
})

test('any flipped byte: an NbdError or an outcome; no request ends twice, no data outside of its read', () => {
  fc.assert(
    fc.property(fc.nat(STREAM.length - 1), fc.integer({ min: 1, max: 255 }), fc.nat(STREAM.length), (at, value, cut) => {
      const bytes = Uint8Array.from(STREAM)
      bytes[at] = bytes[at]! ^ value
      const stage = scene()
      try {
        stage.reader.push(bytes.subarray(0, cut))
        pushDirect(stage.reader, bytes.subarray(cut))
      } catch (error) {
        expect(error).toBeInstanceOf(NbdError)
      }
      expect(new Set(stage.done).size).toBe(stage.done.length)
      for (const id of stage.done) {
        const request = stage.requests.get(id)!
        if (request.assembly !== undefined && request.error === undefined) expect(request.assembly.complete).toBe(true)
      }
    }),
    { numRuns: 3000 },
  )
})

test('random bytes end in an NbdError or wait for more', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
      try {
        scene().reader.push(bytes)
      } catch (error) {
        expect(error).toBeInstanceOf(NbdError)
      }
    }),
  )
})
