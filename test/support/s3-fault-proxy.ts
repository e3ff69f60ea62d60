import { once } from 'node:events'
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { openStore, type Store, type StoreSettings } from '@varve/repository'
import { flipBit, hideKeys, type S3Fault, S3Faults, s3Subject } from './s3-faults.ts'

/**
 * An HTTP proxy in front of a real S3 server that does what its faults say and passes everything else as it is, the Host header too: a signature
 * covers it, and the server takes the name it is called by.
 *
 * Ours, because nothing maintained does it: Toxiproxy works on TCP and knows neither keys nor answers; mockttp (npm) answers whole or not at
 * all, can't cut a body after n bytes with a length of our choice, and brings forty packages; mitmproxy (apt) does its own HTTP framing and wants Python.
 */
export interface S3FaultProxy {
  readonly endpoint: string
  readonly faults: S3Faults
  close(): Promise<void>
}

export interface S3FaultProxyOptions {
  /** Of the server behind it, with an account that may write: wrong bytes can only be stored under a signature that fits them. */
  readonly target: StoreSettings & { readonly endpoint: string }
  readonly seed?: number
}

/** Nothing that Varve stores is longer. */
const MAX_BODY = 256 * 1024 * 1024

interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

export async function startS3FaultProxy({ target, seed }: S3FaultProxyOptions): Promise<S3FaultProxy> {
  const faults = new S3Faults(seed)
  const upstream = new Upstream(target)
  const sockets = new Set<Socket>()
  const server = createServer((incoming, outgoing) => {
    incoming.on('error', () => {})
    outgoing.on('error', () => {})
    const fault = faults.take(s3Subject(incoming.method ?? '', incoming.url ?? '/'))
    // Kept: a message that was destroyed names its socket no more.
    const { socket } = incoming
    // The server behind is away: so are we.
    act(fault, incoming, outgoing, upstream).catch(() => socket.resetAndDestroy())
  })
  // A client may leave a connection alone for long; it is not ours to judge.
  server.requestTimeout = 0
  server.on('connection', socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    faults,
    async close() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
      await upstream.close()
    },
  }
}

async function act(fault: S3Fault | undefined, incoming: IncomingMessage, outgoing: ServerResponse, upstream: Upstream): Promise<void> {
  if (fault === undefined) return upstream.pass(incoming, outgoing)
  switch (fault.kind) {
    case 'slow':
      await sleep(fault.ms)
      return upstream.pass(incoming, outgoing)
    case 'hang':
      // Even the body is taken, so that nothing but the silence is wrong.
      incoming.resume()
      return
    case 'reset-request':
      return resetRequest(incoming, fault.afterBytes, upstream)
    case 'not-kept':
      await bodyOf(incoming)
      return send(outgoing, { status: 200, headers: { etag: '"00000000000000000000000000000000"' }, body: Buffer.alloc(0) })
    case 'flip-stored':
      await upstream.store(incoming.url ?? '/', flipBit(await bodyOf(incoming)))
      return send(outgoing, { status: 200, headers: { etag: '"00000000000000000000000000000000"' }, body: Buffer.alloc(0) })
    case 'status':
      await bodyOf(incoming)
      return send(outgoing, refusal(fault))
    default:
      return spoilAnswer(fault, await upstream.ask(incoming), incoming, outgoing, upstream)
  }
}

type AnswerFault = Extract<S3Fault, { kind: 'reset-answer' | 'truncate' | 'flip-answer' | 'other-object' | 'hide' }>

async function spoilAnswer(
  fault: AnswerFault,
  answer: Answer,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  upstream: Upstream,
): Promise<void> {
  const { socket } = incoming
  // What is an error anyway stays the error it is.
  if (answer.status >= 300) return send(outgoing, answer)
  switch (fault.kind) {
    case 'flip-answer':
      return send(outgoing, { ...answer, body: flipBit(answer.body) })
    case 'other-object': {
      const other = await upstream.read(incoming.url ?? '/', fault.key)
      const at = Number(/^bytes (\d+)-/.exec(answer.headers['content-range'] ?? '')?.[1] ?? 0)
      const part = other.subarray(at, at + answer.body.length)
      return send(outgoing, { ...answer, body: Buffer.concat([part, answer.body.subarray(part.length)]) })
    }
    case 'hide': {
      const body = Buffer.from(hideKeys(answer.body.toString('utf8'), fault.keys))
      return send(outgoing, { ...answer, headers: { ...answer.headers, 'content-length': String(body.length) }, body })
    }
    case 'reset-answer':
      outgoing.writeHead(answer.status, answer.headers)
      await written(outgoing, answer.body.subarray(0, fault.afterBytes))
      socket.resetAndDestroy()
      return
    case 'truncate': {
      const body = answer.body.subarray(0, fault.bytes)
      if (fault.announced === 'sent') return send(outgoing, { ...answer, headers: headersOfPart(answer, body.length), body })
      outgoing.writeHead(answer.status, answer.headers)
      await written(outgoing, body)
      socket.end()
      return
    }
  }
}

/** Part of the body goes up, then the connection goes on both sides. */
async function resetRequest(incoming: IncomingMessage, afterBytes: number, upstream: Upstream): Promise<void> {
  const { socket } = incoming
  const up = upstream.open(incoming)
  up.on('error', () => {})
  let sent = 0
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    up.write(chunk.subarray(0, afterBytes - sent))
    sent += chunk.length
    if (sent >= afterBytes) break
  }
  up.destroy()
  socket.resetAndDestroy()
}

function refusal({ status, code, retryAfter }: Extract<S3Fault, { kind: 'status' }>): Answer {
  const body = Buffer.from(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>scripted fault</Message></Error>`)
  return {
    status,
    headers: { 'content-type': 'application/xml', ...(retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) }) },
    body,
  }
}

/** The headers that a store would send with just these bytes. */
function headersOfPart({ headers }: Answer, length: number): IncomingMessage['headers'] {
  const [, first, whole] = /^bytes (\d+)-\d+\/(\d+)$/.exec(headers['content-range'] ?? '') ?? []
  const range = first === undefined ? {} : { 'content-range': `bytes ${first}-${Number(first) + length - 1}/${whole}` }
  return { ...headers, 'content-length': String(length), ...range }
}

function send(outgoing: ServerResponse, { status, headers, body }: Answer): void {
  outgoing.writeHead(status, { 'content-length': String(body.length), ...headers })
  outgoing.end(body)
}

function written(outgoing: ServerResponse, bytes: Buffer): Promise<void> {
  outgoing.flushHeaders()
  return bytes.length === 0 ? sleep(1) : new Promise(resolve => outgoing.write(bytes, () => resolve()))
}

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = []
  let length = 0
  for await (const chunk of message as AsyncIterable<Buffer>) {
    parts.push(chunk)
    length += chunk.length
    if (length > MAX_BODY) throw new Error('a body above 256 MiB')
  }
  return Buffer.concat(parts, length)
}

/** The server behind the proxy. */
class Upstream {
  readonly #settings: StoreSettings & { readonly endpoint: string }
  readonly #agent = new Agent({ keepAlive: true })
  readonly #buckets = new Map<string, Promise<Store>>()

  constructor(settings: StoreSettings & { readonly endpoint: string }) {
    this.#settings = settings
  }

  /** The same request to the server, its body still to be sent. */
  open(incoming: IncomingMessage): ReturnType<typeof request> {
    const { hostname, port } = new URL(this.#settings.endpoint)
    // Raw headers: the very ones that were signed.
    return request({ hostname, port, method: incoming.method, path: incoming.url, headers: incoming.rawHeaders, agent: this.#agent })
  }

  async pass(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const up = this.open(incoming)
    outgoing.once('close', () => {
      if (!outgoing.writableFinished) up.destroy()
    })
    const answered = once(up, 'response') as Promise<[IncomingMessage]>
    incoming.pipe(up)
    const [answer] = await answered
    answer.on('error', () => outgoing.destroy())
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
    answer.pipe(outgoing)
  }

  async ask(incoming: IncomingMessage): Promise<Answer> {
    const up = this.open(incoming)
    const answered = once(up, 'response') as Promise<[IncomingMessage]>
    incoming.pipe(up)
    const [answer] = await answered
    return { status: answer.statusCode ?? 502, headers: answer.headers, body: await bodyOf(answer) }
  }

  /** Under a signature of our own. */
  async store(url: string, bytes: Buffer): Promise<void> {
    const { bucket, key } = placeOf(url)
    await (await this.#bucket(bucket)).put(key, bytes)
  }

  async read(url: string, key: string): Promise<Uint8Array> {
    return (await this.#bucket(placeOf(url).bucket)).get(key)
  }

  async close(): Promise<void> {
    this.#agent.destroy()
    for (const store of this.#buckets.values()) await (await store).close()
  }

  #bucket(bucket: string): Promise<Store> {
    const known = this.#buckets.get(bucket) ?? openStore(`s3://${bucket}`, this.#settings)
    this.#buckets.set(bucket, known)
    return known
  }
}

function placeOf(url: string): { readonly bucket: string; readonly key: string } {
  const [, bucket = '', ...rest] = new URL(url, 'http://store').pathname.split('/')
  return { bucket, key: decodeURIComponent(rest.join('/')) }
}
