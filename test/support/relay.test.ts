import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { noise } from './pattern.ts'
import { makeRelay } from './relay.ts'

test('a delay holds each byte back once in each direction, in order, with many on their way at the same time', async () => {
  const server = createServer(socket => socket.pipe(socket))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as { port: number }
  const relay = await makeRelay({ host: '127.0.0.1', port }, { delayMs: 50 })
  await relay.open()
  const client: Socket = connect(relay.port, '127.0.0.1')
  onTestFinished(async () => {
    client.destroy()
    await relay.cut()
    server.close()
  })
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
