import { expect, test } from 'vitest'
import { readUint16, readUint32 } from '../codec/uint64.ts'
import {
  NBD_CMD_BLOCK_STATUS,
  NBD_CMD_CACHE,
  NBD_CMD_FLAG_DF,
  NBD_CMD_FLAG_FAST_ZERO,
  NBD_CMD_FLAG_FUA,
  NBD_CMD_FLAG_NO_HOLE,
  NBD_CMD_FLAG_REQ_ONE,
  NBD_CMD_FLUSH,
  NBD_CMD_READ,
  NBD_CMD_TRIM,
  NBD_CMD_WRITE,
  NBD_CMD_WRITE_ZEROES,
  NBD_REPLY_TYPE_ERROR,
  NBD_REPLY_TYPE_OFFSET_DATA,
  NBD_REPLY_TYPE_OFFSET_HOLE,
  NBD_SIMPLE_REPLY_MAGIC,
} from '../constants.ts'
import { errnoName, requestFailed } from '../errors.ts'
import { MemoryBackend, type MemoryBackendOptions } from '../testing/memory-backend.ts'
import { BufferPool } from './buffer-pool.ts'
import { errnoOf, execute } from './execute.ts'

const MiB = 1024 * 1024
const SIZE = MiB

interface Given {
  readonly structured?: boolean
  readonly backend?: MemoryBackend
  readonly options?: MemoryBackendOptions
}

async function run(command: number, flags: number, offset: number, length: number, given: Given = {}) {
  const backend = given.backend ?? new MemoryBackend(SIZE, given.options)
  const structuredReplies = given.structured ?? true
  const request = { command, flags, cookie: { high: 1, low: 2 }, offset, length }
  const payload = command === NBD_CMD_WRITE && length <= 32 * MiB ? new Uint8Array(length) : undefined
  const allocationContext = structuredReplies ? 1 : undefined
  const reply = await execute(request, payload, { backend, structuredReplies, allocationContext, pool: new BufferPool(0) })
  return Buffer.concat(reply.parts)
}

/** '' for success, else the errno of a simple reply or error chunk. */
function errno(reply: Uint8Array): string {
  const simple = readUint32(reply, 0) === NBD_SIMPLE_REPLY_MAGIC
  const value = simple ? readUint32(reply, 4) : readUint16(reply, 6) === NBD_REPLY_TYPE_ERROR ? readUint32(reply, 20) : 0
  return value === 0 ? '' : errnoName(value)
}

const READ_ONLY: Given = { options: { readOnly: true } }
const BLOCKS: Given = { options: { blockSize: { minimum: 512, preferred: 4096 } } }

test.each([
  ['read', NBD_CMD_READ, 0, 0, 4096, {}, ''],
  ['read of nothing', NBD_CMD_READ, 0, 0, 0, {}, ''],
  ['read to the end', NBD_CMD_READ, 0, SIZE - 1, 1, {}, ''],
  ['read past the end', NBD_CMD_READ, 0, SIZE - 1, 2, {}, 'EINVAL'],
  ['read far past the end', NBD_CMD_READ, 0, Number.MAX_SAFE_INTEGER, 2, {}, 'EINVAL'],
  ['read past the end, simple', NBD_CMD_READ, 0, SIZE, 1, { structured: false }, 'EINVAL'],
  ['read above 32 MiB', NBD_CMD_READ, 0, 0, 32 * MiB + 1, { backend: new MemoryBackend(40 * MiB) }, 'EINVAL'],
  ['DF', NBD_CMD_READ, NBD_CMD_FLAG_DF, 0, 4096, {}, ''],
  ['DF without structured replies', NBD_CMD_READ, NBD_CMD_FLAG_DF, 0, 4096, { structured: false }, 'EINVAL'],
  ['FUA on a read', NBD_CMD_READ, NBD_CMD_FLAG_FUA, 0, 4096, {}, ''],
  ['unknown flag', NBD_CMD_READ, 1 << 9, 0, 4096, {}, 'EINVAL'],
  ['NO_HOLE on a write', NBD_CMD_WRITE, NBD_CMD_FLAG_NO_HOLE, 0, 4096, {}, 'EINVAL'],
  ['unknown command', 77, 0, 0, 0, {}, 'EINVAL'],
  ['write', NBD_CMD_WRITE, 0, 0, 4096, {}, ''],
  ['write past the end', NBD_CMD_WRITE, 0, SIZE - 1, 2, {}, 'ENOSPC'],
  ['write above 32 MiB', NBD_CMD_WRITE, 0, 0, 32 * MiB + 1, { backend: new MemoryBackend(40 * MiB) }, 'EINVAL'],
  ['write, read-only', NBD_CMD_WRITE, 0, 0, 4096, READ_ONLY, 'EPERM'],
  ['write past the end, read-only', NBD_CMD_WRITE, 0, SIZE, 1, READ_ONLY, 'EPERM'],
  ['trim', NBD_CMD_TRIM, 0, 0, 4096, {}, ''],
  ['trim past the end', NBD_CMD_TRIM, 0, SIZE, 1, {}, 'EINVAL'],
  ['trim, read-only', NBD_CMD_TRIM, 0, 0, 4096, READ_ONLY, 'EPERM'],
  ['write zeroes', NBD_CMD_WRITE_ZEROES, 0, 0, SIZE, {}, ''],
  ['write zeroes past the end', NBD_CMD_WRITE_ZEROES, 0, SIZE, 1, {}, 'ENOSPC'],
  ['write zeroes, read-only', NBD_CMD_WRITE_ZEROES, 0, 0, 1, READ_ONLY, 'EPERM'],
  ['fast zero as a hole', NBD_CMD_WRITE_ZEROES, NBD_CMD_FLAG_FAST_ZERO, 0, 4096, {}, ''],
  ['fast zero without a hole', NBD_CMD_WRITE_ZEROES, NBD_CMD_FLAG_FAST_ZERO | NBD_CMD_FLAG_NO_HOLE, 0, 4096, {}, 'ENOTSUP'],
  ['flush', NBD_CMD_FLUSH, 0, 0, 0, {}, ''],
  ['flush, read-only', NBD_CMD_FLUSH, 0, 0, 0, READ_ONLY, ''],
  ['cache', NBD_CMD_CACHE, 0, 0, 4096, {}, ''],
  ['cache past the end', NBD_CMD_CACHE, 0, SIZE, 1, {}, 'EINVAL'],
  ['block status', NBD_CMD_BLOCK_STATUS, NBD_CMD_FLAG_REQ_ONE, 0, 4096, {}, ''],
  ['block status of nothing', NBD_CMD_BLOCK_STATUS, 0, 0, 0, {}, 'EINVAL'],
  ['block status past the end', NBD_CMD_BLOCK_STATUS, 0, 0, SIZE + 1, {}, 'EINVAL'],
  ['block status without the context', NBD_CMD_BLOCK_STATUS, 0, 0, 4096, { structured: false }, 'EINVAL'],
  ['unaligned read', NBD_CMD_READ, 0, 100, 512, BLOCKS, 'EINVAL'],
  ['unaligned write', NBD_CMD_WRITE, 0, 0, 100, BLOCKS, 'EINVAL'],
] as const)('%s', async (_, command, flags, offset, length, given, expected) => {
  expect(errno(await run(command, flags, offset, length, given))).toBe(expected)
})

test('a read of data between holes comes in chunks, with DF in one', async () => {
  const backend = new MemoryBackend(SIZE)
  await backend.write(65_536, new Uint8Array(4096).fill(5), false)
  const types = (reply: Uint8Array) => {
    const found: number[] = []
    for (let at = 0; at < reply.length; at += 20 + readUint32(reply, at + 16)) found.push(readUint16(reply, at + 6))
    return found
  }
  const [data, hole] = [NBD_REPLY_TYPE_OFFSET_DATA, NBD_REPLY_TYPE_OFFSET_HOLE]
  expect(types(await run(NBD_CMD_READ, 0, 0, SIZE, { backend }))).toEqual([hole, data, hole])
  expect(backend.calls.read).toBe(1)
  expect(types(await run(NBD_CMD_READ, NBD_CMD_FLAG_DF, 0, SIZE, { backend }))).toEqual([data])
  expect(types(await run(NBD_CMD_READ, 0, 0, 65_536, { backend }))).toEqual([hole])
  expect(backend.calls.read).toBe(2)
})

test('what a backend throws becomes the error value of the specification', () => {
  const system = (code: string) => Object.assign(new Error(code), { code })
  expect(['ENOSPC', 'EDQUOT', 'EFBIG', 'EROFS', 'EACCES', 'ENOMEM', 'ENOENT'].map(code => errnoOf(system(code)))).toEqual([
    'ENOSPC',
    'ENOSPC',
    'ENOSPC',
    'EPERM',
    'EPERM',
    'ENOMEM',
    'EIO',
  ])
  expect(errnoOf(requestFailed('ESHUTDOWN', 'going down'))).toBe('ESHUTDOWN')
  expect(errnoOf('nonsense')).toBe('EIO')
})
