import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { CRC32_HEADER } from '../stores/s3/payload-crc.ts'

/** What a fake S3 server does with one request; the object's bytes, if there are any, come with it. */
export type FakeS3Answer = (request: IncomingMessage, response: ServerResponse, object: Buffer | undefined) => void

/**
 * An S3 server that misbehaves as told: `faults` are used up one request after the other, then it behaves (PUT and GET of objects,
 * HEAD of buckets; signatures are not checked).
 */
export interface FakeS3 {
  readonly endpoint: string
  readonly faults: FakeS3Answer[]
  readonly requests: { readonly method: string; readonly path: string; readonly headers: IncomingMessage['headers'] }[]
  close(): Promise<void>
}

/** `checksCrc` false: it does not know the header, and says nothing of it. */
export async function startFakeS3(options: { readonly checksCrc?: boolean } = {}): Promise<FakeS3> {
  const objects = new Map<string, Buffer>()
  const faults: FakeS3Answer[] = []
  const requests: { method: string; path: string; headers: IncomingMessage['headers'] }[] = []
  const server = createServer((request, response) => {
    const path = request.url ?? ''
    requests.push({ method: request.method ?? '', path, headers: request.headers })
    const parts: Buffer[] = []
    request.on('error', () => {})
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => {
      const fault = faults.shift()
      if (fault !== undefined) return fault(request, response, objects.get(path))
      if (request.method === 'PUT') {
        objects.set(path, Buffer.concat(parts))
        const crc = request.headers[CRC32_HEADER]
        if (crc !== undefined && options.checksCrc !== false) response.setHeader(CRC32_HEADER, crc)
      }
      answer(request, response, objects.get(path))
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address() as { port: number }
  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    faults,
    requests,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** Faults to choose from. */
export const s3Faults = {
  status:
    (status: number, s3Code: string, headers: Record<string, string> = {}): FakeS3Answer =>
    (_request, response) => {
      response.writeHead(status, headers)
      response.end(`<?xml version="1.0"?><Error><Code>${s3Code}</Code><Message>as told</Message></Error>`)
    },
  reset: (): FakeS3Answer => (_request, response) => {
    response.socket?.resetAndDestroy()
  },
  silent: (): FakeS3Answer => () => {},
  /** Announces all and ends after `length` bytes. */
  cut:
    (length: number): FakeS3Answer =>
    (_request, response, object = Buffer.alloc(0)) => {
      response.writeHead(200, { 'content-length': object.length })
      response.write(object.subarray(0, length), () => response.socket?.destroy())
    },
  /** A good answer's head, and then nothing. */
  stall:
    (): FakeS3Answer =>
    (_request, response, object = Buffer.alloc(0)) => {
      response.writeHead(200, { 'content-length': object.length })
      response.write(object.subarray(0, 1))
    },
  ignoreRange:
    (): FakeS3Answer =>
    (_request, response, object = Buffer.alloc(0)) => {
      response.writeHead(200, { 'content-length': object.length })
      response.end(object)
    },
  /** A 206 of fewer bytes than asked for, with a range that says so, though the object has more. */
  wrongRange:
    (): FakeS3Answer =>
    (_request, response, object = Buffer.alloc(0)) => {
      response.writeHead(206, { 'content-length': 1, 'content-range': `bytes 5-5/${object.length}` })
      response.end(object.subarray(5, 6))
    },
  /** The first byte of the range, and headers that fit it. */
  shortRange:
    (): FakeS3Answer =>
    (request, response, object = Buffer.alloc(0)) => {
      const first = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1])
      response.writeHead(206, { 'content-length': 1, 'content-range': `bytes ${first}-${first}/${object.length}` })
      response.end(object.subarray(first, first + 1))
    },
  noLength: (): FakeS3Answer => (_request, response) => {
    response.writeHead(200)
    response.write('a')
    response.end('b')
  },
  garbage: (): FakeS3Answer => (_request, response) => {
    response.socket?.end('this is not HTTP at all\r\n\r\n')
  },
  hugeError: (): FakeS3Answer => (_request, response) => {
    response.on('error', () => {})
    response.writeHead(400)
    const more = (): void => {
      if (!response.destroyed) response.write('x'.repeat(65_536), () => setImmediate(more))
    }
    more()
  },
} as const

function answer(request: IncomingMessage, response: ServerResponse, object: Buffer | undefined): void {
  if (request.method !== 'GET') response.end()
  else if (object === undefined) s3Faults.status(404, 'NoSuchKey')(request, response, object)
  else {
    const [, first, last] = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? []
    if (first === undefined) response.end(object)
    else {
      const part = object.subarray(Number(first), Number(last) + 1)
      response.writeHead(206, {
        'content-length': part.length,
        'content-range': `bytes ${first}-${Number(first) + part.length - 1}/${object.length}`,
      })
      response.end(part)
    }
  }
}
