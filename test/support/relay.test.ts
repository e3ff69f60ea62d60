import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { noise } from './pattern.ts'
import { makeRelay } from './relay.ts'

async function connectThroughDelay(serve: (socket: Socket) => void): Promise<Socket> {
  const server = createServer(serve)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as { port: number }
  const relay = await makeRelay({ host: '127.0.0.1', port }, { delayMs: 50 })
  await relay.open()
  const client = connect(relay.port, '127.0.0.1')
  onTestFinished(async () => {
    client.destroy()
    await relay.cut()
    server.close()
  })
  return client
}

test('a delay holds each byte back once in each direction, in order, with many on their way at the same time', async () => {
  const client = await connectThroughDelay(socket => socket.pipe(socket))
  const sent = noise('relay', 3_000_000)
  const started = performance.now()
  client.write(sent)
  const came: Buffer[] = []
  let first = Number.NaN
  for await (const bytes of client) {
    if (came.length === 0) first = performance.now() - started
    came.push(bytes as Buffer)
    if (came.reduce((sum, { length }) => sum + length, 0) >= sent.length) break
  }
  expect(first).toBeGreaterThanOrEqual(99)
  expect(Buffer.concat(came).equals(sent)).toBe(true)
})

test('an answer that a delay still holds arrives although the server closed behind it', async () => {
  const client = await connectThroughDelay(socket => socket.once('data', () => socket.end('answer')))
  client.write('question')
  const came: Buffer[] = []
  for await (const bytes of client) came.push(bytes as Buffer)
  expect(Buffer.concat(came).toString()).toBe('answer')
})
