import fc from 'fast-check'
import { expect, test } from 'vitest'
import { NBD_OPT_EXPORT_NAME, NBD_REP_ACK, NBD_REP_ERR_TLS_REQD } from '../constants.ts'
import { NbdError } from '../errors.ts'
import { type ClientAsk, clientHandshake, type Negotiated } from './client-handshake.ts'
import { type HandshakeEvent, HandshakeRunner } from './handshake-runner.ts'
import { type ServerAsk, type ServerNegotiated, serverHandshake } from './server-handshake.ts'

const FACTS = { size: 12_345_678_901, flags: 0b1_0000_0001, blockSize: { minimum: 512, preferred: 4096 } }

/** Everything the two sides say to each other, and what they make of it. */
function converse(tls = false): { toClient: Uint8Array; toServer: Uint8Array; client: Negotiated; server: ServerNegotiated | undefined } {
  const client = new HandshakeRunner(clientHandshake('disk é', tls))
  const server = new HandshakeRunner(serverHandshake(tls))
  const said: { toClient: Uint8Array[]; toServer: Uint8Array[] } = { toClient: [], toServer: [] }
  for (;;) {
    const s = server.poll()
    if (s.type === 'send') {
      said.toClient.push(s.bytes)
      client.push(s.bytes)
    }
    if (s.type === 'ask') server.answer(FACTS)
    if (s.type === 'ask' && s.ask.kind === 'start-tls') expect(server.buffered).toBe(0)
    const c = client.poll()
    if (c.type === 'send') {
      said.toServer.push(c.bytes)
      server.push(c.bytes)
    }
    if (c.type === 'ask') {
      expect(client.buffered).toBe(0)
      client.answer(undefined)
    }
    if (s.type === 'done' && c.type === 'done') {
      return { toClient: Buffer.concat(said.toClient), toServer: Buffer.concat(said.toServer), client: c.result, server: s.result }
    }
  }
}

/** Feed bytes in pieces; the last event, or the error thrown. */
function feed<Result>(runner: HandshakeRunner<Result, ServerAsk> | HandshakeRunner<Result, ClientAsk>, pieces: Iterable<Uint8Array>) {
  const drain = (): HandshakeEvent<Result, ServerAsk | ClientAsk> => {
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
  const [plainTalk, protectedTalk] = [converse(), converse(true)]
  const { toClient, toServer } = protectedTalk
  const flips = fc.record({ at: fc.nat(Math.max(toClient.length, toServer.length)), value: fc.integer({ min: 1, max: 255 }) })
  fc.assert(
    fc.property(flips, fc.boolean(), fc.boolean(), fc.nat(300), ({ at, value }, ofServer, tls, cut) => {
      const { toClient, toServer } = tls ? protectedTalk : plainTalk
      const bytes = Uint8Array.from(ofServer ? toServer : toClient)
      const index = at % bytes.length
      bytes[index] = bytes[index]! ^ value
      try {
        if (ofServer) feed(new HandshakeRunner(serverHandshake(tls)), pieces(bytes, cut))
        else feed(new HandshakeRunner(clientHandshake('disk é', tls)), pieces(bytes, cut))
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

test('with TLS the same comes out of it', () => {
  const [plain, tls] = [converse(), converse(true)]
  expect(tls.client).toEqual(plain.client)
  expect(tls.server).toEqual(plain.server)
})

/** What a server that requires TLS answers to options sent without it: pairs of option and reply type. */
function answersBeforeTls(options: readonly number[]): readonly (readonly [number, number])[] {
  const runner = new HandshakeRunner(serverHandshake(true))
  const said: Buffer[] = []
  const stream = [Buffer.from([0, 0, 0, 3])]
  for (const option of options) {
    const header = Buffer.from('IHAVEOPT\0\0\0\0\0\0\0\0')
    header.writeUInt32BE(option, 8)
    stream.push(header)
  }
  runner.push(Buffer.concat(stream))
  for (let event = runner.poll(); event.type === 'send'; event = runner.poll()) said.push(Buffer.from(event.bytes))
  return said.slice(1).map(bytes => [bytes.readUInt32BE(8), bytes.readUInt32BE(12)])
}

test('required TLS: everything but NBD_OPT_STARTTLS and NBD_OPT_ABORT is refused before it', () => {
  const options = [3, 6, 7, 8, 9, 10, 11, 99]
  expect(answersBeforeTls(options)).toEqual(options.map(option => [option, NBD_REP_ERR_TLS_REQD]))
  expect(answersBeforeTls([8, 5])).toEqual([
    [8, NBD_REP_ERR_TLS_REQD],
    [5, NBD_REP_ACK],
  ])
  expect(answersBeforeTls([2])).toEqual([[2, NBD_REP_ACK]])
  expect(() => answersBeforeTls([NBD_OPT_EXPORT_NAME])).toThrow('does not start TLS')
})
