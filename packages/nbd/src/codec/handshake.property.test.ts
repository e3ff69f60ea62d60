import fc from 'fast-check'
import { expect, test } from 'vitest'
import { NbdError } from '../errors.ts'
import { clientHandshake, type Negotiated } from './client-handshake.ts'
import { type HandshakeEvent, HandshakeRunner } from './handshake-runner.ts'
import { type ServerAsk, type ServerNegotiated, serverHandshake } from './server-handshake.ts'

const FACTS = { size: 12_345_678_901, flags: 0b1_0000_0001, blockSize: { minimum: 512, preferred: 4096 } }

/** Everything the two sides say to each other, and what they make of it. */
function converse(): { toClient: Uint8Array; toServer: Uint8Array; client: Negotiated; server: ServerNegotiated | undefined } {
  const client = new HandshakeRunner(clientHandshake('disk é'))
  const server = new HandshakeRunner(serverHandshake())
  const said: { toClient: Uint8Array[]; toServer: Uint8Array[] } = { toClient: [], toServer: [] }
  for (;;) {
    const s = server.poll()
    if (s.type === 'send') {
      said.toClient.push(s.bytes)
      client.push(s.bytes)
    }
    if (s.type === 'ask') server.answer(FACTS)
    const c = client.poll()
    if (c.type === 'send') {
      said.toServer.push(c.bytes)
      server.push(c.bytes)
    }
    if (s.type === 'done' && c.type === 'done') {
      return { toClient: Buffer.concat(said.toClient), toServer: Buffer.concat(said.toServer), client: c.result, server: s.result }
    }
  }
}

/** Feed bytes in pieces; the last event, or the error thrown. */
function feed<Result>(runner: HandshakeRunner<Result, ServerAsk> | HandshakeRunner<Result>, pieces: Iterable<Uint8Array>) {
  const drain = (): HandshakeEvent<Result, ServerAsk> => {
    for (let steps = 0; steps < 10_000; steps++) {
      const event = runner.poll()
      if (event.type === 'ask') runner.answer(event.ask.kind === 'open' ? FACTS : { names: ['a', 'b'] })
      else if (event.type !== 'send') return event
    }
    throw new Error('the handshake never waits')
  }
  let last = drain()
  for (const piece of pieces) {
    if (last.type === 'done') break
    runner.push(piece)
    last = drain()
  }
  return last
}

function pieces(bytes: Uint8Array, cut: number): Uint8Array[] {
  return [bytes.subarray(0, cut), bytes.subarray(cut)]
}

test('client and server understand each other', () => {
  const { client, server } = converse()
  expect(client).toEqual({
    size: FACTS.size,
    flags: FACTS.flags | (1 << 7),
    structuredReplies: true,
    allocationContext: 1,
    blockSize: { minimum: 512, preferred: 4096, maximum: 32 * 1024 * 1024 },
  })
  expect(server).toEqual({ name: 'disk é', structuredReplies: true, allocationContext: 1 })
})

test('cut at every byte: the same result, and one byte less is need-more', () => {
  const { toClient, toServer, client, server } = converse()
  for (let cut = 0; cut <= toClient.length; cut++) {
    expect(feed(new HandshakeRunner(clientHandshake('disk é')), pieces(toClient, cut))).toMatchObject({ type: 'done', result: client })
  }
  for (let cut = 0; cut <= toServer.length; cut++) {
    expect(feed(new HandshakeRunner(serverHandshake()), pieces(toServer, cut))).toMatchObject({ type: 'done', result: server })
  }
  expect(feed(new HandshakeRunner(clientHandshake('disk é')), [toClient.subarray(0, -1)]).type).toBe('need-more')
  expect(feed(new HandshakeRunner(serverHandshake()), [toServer.subarray(0, -1)]).type).toBe('need-more')
})

test('any flipped byte: a result, need-more or an NbdError; never anything else', () => {
  const { toClient, toServer } = converse()
  const flips = fc.record({ at: fc.nat(Math.max(toClient.length, toServer.length)), value: fc.integer({ min: 1, max: 255 }) })
  fc.assert(
    fc.property(flips, fc.boolean(), fc.nat(300), ({ at, value }, ofServer, cut) => {
      const bytes = Uint8Array.from(ofServer ? toServer : toClient)
      const index = at % bytes.length
      bytes[index] = bytes[index]! ^ value
      try {
        feed(new HandshakeRunner<unknown, ServerAsk>(ofServer ? serverHandshake() : clientHandshake('disk é')), pieces(bytes, cut))
      } catch (error) {
        expect(error).toBeInstanceOf(NbdError)
      }
    }),
    { numRuns: 2000 },
  )
})

test('any options after the greeting: never anything but NbdErrors', () => {
  const option = fc.record({ type: fc.integer({ min: 0, max: 12 }), body: fc.uint8Array({ maxLength: 40 }) })
  fc.assert(
    fc.property(fc.array(option, { maxLength: 6 }), options => {
      const stream = [Buffer.from([0, 0, 0, 3])]
      for (const { type, body } of options) {
        const header = Buffer.from('IHAVEOPT\0\0\0\0\0\0\0\0')
        header.writeUInt32BE(type, 8)
        header.writeUInt32BE(body.length, 12)
        stream.push(header, Buffer.from(body))
      }
      try {
        feed(new HandshakeRunner(serverHandshake()), [Buffer.concat(stream)])
      } catch (error) {
        expect(error).toBeInstanceOf(NbdError)
      }
    }),
    { numRuns: 1000 },
  )
})
