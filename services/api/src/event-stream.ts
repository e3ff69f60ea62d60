import type { ServerResponse } from 'node:http'
import type { FastifyReply } from 'fastify'
import { ApiError } from './errors.ts'

/**
 * One reader of server-sent events. Every stream begins with the present state, so a reader that comes back after a break needs no
 * history: `Last-Event-ID` is accepted and means nothing.
 */
export interface EventStream {
  /** Events with the same `key` replace each other while the reader is slow, so a slow reader costs bounded memory. */
  send(event: string, key: string, data: unknown): void
  /** End the stream after what is waiting. */
  end(): void
  onClose(done: () => void): void
}

/** The open streams of one process. */
export class EventStreams {
  readonly #open = new Set<EventStream>()
  readonly #heartbeat: number
  readonly #most: number

  constructor(options: { readonly heartbeat: number; readonly most: number }) {
    this.#heartbeat = options.heartbeat
    this.#most = options.most
  }

  get size(): number {
    return this.#open.size
  }

  /** @throws ApiError TOO_MANY_STREAMS, before anything is sent */
  open(reply: FastifyReply): EventStream {
    if (this.#open.size >= this.#most) throw new ApiError('TOO_MANY_STREAMS', `${this.#most} event streams are open already`)
    // From here on the raw response is ours; headers that hooks have set so far go along.
    const headers = reply.getHeaders()
    reply.hijack()
    const stream = startStream(reply.raw, headers as Record<string, string>, this.#heartbeat)
    this.#open.add(stream)
    stream.onClose(() => this.#open.delete(stream))
    return stream
  }

  /** End all, so that the server can close. Readers come back by themselves and find the next one. */
  close(): void {
    for (const stream of this.#open) stream.end()
  }
}

function startStream(raw: ServerResponse, headers: Record<string, string>, heartbeat: number): EventStream {
  const waiting = new Map<string, string>()
  const closers: (() => void)[] = []
  let id = 0
  let full = false
  let ending = false

  raw.writeHead(200, {
    ...headers,
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    // Told to proxies that would otherwise hold events back.
    'x-accel-buffering': 'no',
  })
  raw.write('retry: 2000\n\n')

  const beat = setInterval(() => {
    if (!full && !ending) raw.write(': heartbeat\n\n')
  }, heartbeat)

  function put(text: string): void {
    full = !raw.write(text)
  }
  function drain(): void {
    full = false
    for (const [key, text] of waiting) {
      if (full) return
      waiting.delete(key)
      put(text)
    }
    if (ending && waiting.size === 0) raw.end()
  }
  raw.on('drain', drain)
  raw.on('error', () => raw.destroy())
  raw.on('close', () => {
    clearInterval(beat)
    for (const done of closers.splice(0)) done()
  })

  return {
    send(event, key, data) {
      if (ending || raw.destroyed) return
      id += 1
      const text = `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`
      if (full) waiting.set(key, text)
      else put(text)
    },
    end() {
      if (ending) return
      ending = true
      if (waiting.size === 0) raw.end()
    },
    onClose(done) {
      if (raw.closed) done()
      else closers.push(done)
    },
  }
}
