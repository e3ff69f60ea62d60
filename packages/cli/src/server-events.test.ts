import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type ServerEvent, serverEvents } from './server-events.ts'

const TEXT = 'retry: 2000\n\n: heartbeat\n\nid: 1\nevent: run\ndata: {"a":"ü"}\n\ndata:x\ndata: y\n\nid: 9\nevent: lost\n\n'

async function read(chunks: Iterable<Uint8Array>): Promise<ServerEvent[]> {
  async function* body(): AsyncGenerator<Uint8Array> {
    yield* chunks
  }
  const events = []
  for await (const event of serverEvents(body())) events.push(event)
  return events
}

test('events are the same however the bytes are cut', async () => {
  const bytes = Buffer.from(TEXT)
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(fc.nat(bytes.length)), async cuts => {
      const edges = [0, ...cuts.sort((a, b) => a - b), bytes.length]
      const chunks = edges.slice(1).map((edge, at) => bytes.subarray(edges[at], edge))
      expect(await read(chunks)).toEqual([
        { event: 'run', data: '{"a":"ü"}' },
        { event: 'message', data: 'x\ny' },
      ])
    }),
  )
})

test('an event that never ends is an error, not memory', async () => {
  const endless = Array.from({ length: 20 }, () => Buffer.alloc(100_000, 'a'))
  await expect(read(endless)).rejects.toThrow('too long')
})
