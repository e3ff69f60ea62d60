import { createHash, randomBytes } from 'node:crypto'
import { type AddressInfo, connect, createServer, Socket } from 'node:net'
import { connect as connectTls, createSecureContext, TLSSocket } from 'node:tls'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeCertificates } from '../testing/certificates.ts'
import { hasTool, temporaryDirectory } from '../testing/peer-process.ts'
import { receiveDirectly } from './receive-directly.ts'

let directory: Awaited<ReturnType<typeof temporaryDirectory>>
beforeEach(async () => {
  directory = await temporaryDirectory()
})
afterEach(() => directory.remove())

const sum = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

test('what comes over TLS lands in the buffers given, whatever their length, and nowhere else', async ctx => {
  if (!hasTool('openssl')) ctx.skip('openssl is not installed')
  const { ca, cert, key } = await makeCertificates(directory.path)
  const sent = randomBytes(1024 * 1024)
  const server = createServer(plain => {
    new TLSSocket(plain, { isServer: true, secureContext: createSecureContext({ cert, key }) }).end(sent)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  await new Promise(resolve => socket.once('connect', resolve))
  const secure = connectTls({ socket, ca, host: '127.0.0.1' })
  const received: Uint8Array[] = []
  let events = 0
  let target = new Uint8Array(0)
  const direct = receiveDirectly(secure, {
    // Shorter and longer than a TLS record.
    buffer: () => {
      target = new Uint8Array(1 + ((received.length * 7919) % 40_000))
      return target
    },
    callback: length => {
      received.push(target.slice(0, length))
      return true
    },
  })
  // Should this fail with a new Node, backups over TLS still work, with more processor time and memory.
  expect(direct).toBe(true)
  const taken = receiveDirectly(secure, { buffer: () => new Uint8Array(1), callback: () => true })
  await new Promise(resolve => secure.on('data', () => events++).on('end', resolve))
  server.close()
  expect({ taken, events, sum: sum(Buffer.concat(received)) }).toEqual({ taken: false, events: 0, sum: sum(sent) })
})

test('a socket that is not as expected is left alone', () => {
  const buffer = (): Uint8Array => new Uint8Array(1)
  const plain = new Socket()
  expect(receiveDirectly(plain, { buffer, callback: () => true })).toBe(false)
  expect(receiveDirectly({} as Socket, { buffer, callback: () => true })).toBe(false)
})
