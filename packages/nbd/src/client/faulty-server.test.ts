import { expect, test } from 'vitest'
import { type NbdFault, startFaultyServer } from '../testing/faulty-server.ts'
import { connectNbd } from './connect-nbd.ts'

const CONTENT = Uint8Array.from({ length: 256 * 1024 }, (_, index) => index % 253)

const HANDSHAKE: readonly (readonly [NbdFault, string])[] = [
  ['garbage-handshake', 'NBD_PROTOCOL'],
  ['silent-handshake', 'NBD_UNREACHABLE'],
  ['drop-handshake', 'NBD_CLOSED'],
]

const READ: readonly (readonly [NbdFault, string])[] = [
  ['read-ignored', 'NBD_STALLED'],
  ['read-stall', 'NBD_STALLED'],
  ['read-drop', 'NBD_CLOSED'],
  ['read-wrong-cookie', 'NBD_PROTOCOL'],
  ['read-oversize', 'NBD_PROTOCOL'],
  ['read-huge-error', 'NBD_PROTOCOL'],
  ['read-outside', 'NBD_PROTOCOL'],
  ['read-overlap', 'NBD_PROTOCOL'],
  ['read-short', 'NBD_PROTOCOL'],
  ['read-garbage', 'NBD_PROTOCOL'],
]

test.each(HANDSHAKE)('%s is %s', async (fault, code) => {
  const server = await startFaultyServer({ fault, content: CONTENT })
  try {
    await expect(
      connectNbd({ ...server, exportName: 'x' }, { connectMs: fault === 'silent-handshake' ? 200 : 10_000 }),
    ).rejects.toMatchObject({ code })
  } finally {
    await server.close()
  }
})

test.each(READ)('%s is %s for every open request, and the client is dead', async (fault, code) => {
  const server = await startFaultyServer({ fault, goodReads: 2, content: CONTENT })
  const client = await connectNbd(
    { ...server, exportName: 'x' },
    { stallMs: code === 'NBD_STALLED' ? 200 : 10_000, inFlight: 4, connections: 2 },
  )
  try {
    for (const offset of [0, 1000]) {
      const [piece] = await client.read(offset, 65_536)
      expect(Buffer.compare(piece!.bytes!, CONTENT.subarray(offset, offset + 65_536))).toBe(0)
    }
    const reads = Array.from({ length: 12 }, (_, index) => client.read(index * 16_384, 65_536))
    for (const outcome of await Promise.allSettled(reads)) expect(outcome).toMatchObject({ status: 'rejected', reason: { code } })
    await expect(client.read(0, 1)).rejects.toMatchObject({ code })
  } finally {
    await client.close()
    await server.close()
  }
})

test('read-error fails one request and the connection lives', async () => {
  const server = await startFaultyServer({ fault: 'read-error', badReads: 1, content: CONTENT })
  const client = await connectNbd({ ...server, exportName: 'x' })
  await expect(client.read(0, 4096)).rejects.toMatchObject({
    code: 'NBD_REQUEST_FAILED',
    message: 'disk on fire',
    context: { errno: 'EIO' },
  })
  expect((await client.read(0, 4096)).length).toBe(1)
  await client.close()
  await server.close()
})

test('size-lie is an error of the request beyond the end', async () => {
  const server = await startFaultyServer({ fault: 'size-lie', content: CONTENT })
  const client = await connectNbd({ ...server, exportName: 'x' })
  await expect(client.read(CONTENT.length, 4096)).rejects.toMatchObject({ code: 'NBD_REQUEST_FAILED', context: { errno: 'EINVAL' } })
  await client.close()
  await server.close()
})
