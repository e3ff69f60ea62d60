import { NBD_CMD_WRITE } from '../constants.ts'
import { decodeRequest, REQUEST_LENGTH, type Request } from './request.ts'

export interface RequestReaderOptions {
  /** May another request be taken now? Otherwise `push` stops before the next header. */
  readonly ready: () => boolean
  /** Where the payload of this write goes; `undefined`: it is read from the wire and dropped. */
  readonly payloadTarget: (request: Request) => Uint8Array | undefined
  /** A request and, for an accepted write, its payload. */
  readonly request: (request: Request, payload: Uint8Array | undefined) => void
}

/** Server side of transmission: bytes in any cut -> requests. Never sees a socket. Throws NBD_PROTOCOL when the stream is out of step. */
export class RequestReader {
  readonly #options: RequestReaderOptions
  readonly #head = new Uint8Array(REQUEST_LENGTH)
  #headLength = 0
  #current: Request | undefined
  #payload: Uint8Array | undefined
  #payloadAt = 0

  constructor(options: RequestReaderOptions) {
    this.#options = options
  }

  /** In the middle of a request? */
  get partial(): boolean {
    return this.#headLength > 0 || this.#current !== undefined
  }

  /** Takes bytes; returns how many. Fewer than all means: not ready, push the rest later. */
  push(bytes: Uint8Array): number {
    let at = 0
    while (at < bytes.length) {
      if (this.#current !== undefined) {
        const length = Math.min(this.#current.length - this.#payloadAt, bytes.length - at)
        this.#payload?.set(bytes.subarray(at, at + length), this.#payloadAt)
        this.#payloadAt += length
        at += length
        if (this.#payloadAt === this.#current.length) this.#requestDone(this.#current)
        continue
      }
      if (this.#headLength === 0 && !this.#options.ready()) return at
      const length = Math.min(REQUEST_LENGTH - this.#headLength, bytes.length - at)
      this.#head.set(bytes.subarray(at, at + length), this.#headLength)
      this.#headLength += length
      at += length
      if (this.#headLength === REQUEST_LENGTH) this.#headDone()
    }
    return at
  }

  #headDone(): void {
    const request = decodeRequest(this.#head)
    this.#headLength = 0
    if (request.command !== NBD_CMD_WRITE) {
      this.#options.request(request, undefined)
      return
    }
    this.#payload = this.#options.payloadTarget(request)
    this.#payloadAt = 0
    if (request.length === 0) this.#requestDone(request)
    else this.#current = request
  }

  #requestDone(request: Request): void {
    const payload = this.#payload
    this.#current = undefined
    this.#payload = undefined
    this.#options.request(request, payload)
  }
}
