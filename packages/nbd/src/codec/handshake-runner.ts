import { MAX_OPTION_LENGTH } from '../constants.ts'
import { protocolError } from '../errors.ts'

/** What a handshake wants next: exactly `take` bytes from the peer, to `send` bytes, or an answer from our side. */
export type HandshakeStep<Ask = never> = { readonly take: number } | { readonly send: Uint8Array } | { readonly ask: Ask }

/** A handshake written as straight-line code; it never sees a socket. */
export type Handshake<Result, Ask = never> = Generator<HandshakeStep<Ask>, Result, unknown>

export type HandshakeEvent<Result, Ask> =
  | { readonly type: 'need-more' }
  | { readonly type: 'send'; readonly bytes: Uint8Array }
  | { readonly type: 'ask'; readonly ask: Ask }
  | { readonly type: 'done'; readonly result: Result; readonly rest: Uint8Array }

/** Exactly `length` bytes from the peer. */
export function* take(length: number): Generator<{ take: number }, Uint8Array, unknown> {
  return (yield { take: length }) as Uint8Array
}

/**
 * Runs a handshake over bytes that arrive in any cut:
 *
 *     push(bytes) -> poll() until 'need-more' -> push(bytes) ...
 *
 * `poll` throws what the handshake throws: NbdErrors.
 */
export class HandshakeRunner<Result, Ask = never> {
  readonly #handshake: Handshake<Result, Ask>
  #step: IteratorResult<HandshakeStep<Ask>, Result>
  #buffered: Uint8Array = new Uint8Array(0)

  constructor(handshake: Handshake<Result, Ask>) {
    this.#handshake = handshake
    this.#step = handshake.next()
  }

  /** Copies `bytes`: the caller may reuse its buffer. */
  push(bytes: Uint8Array): void {
    const joined = new Uint8Array(this.#buffered.length + bytes.length)
    joined.set(this.#buffered)
    joined.set(bytes, this.#buffered.length)
    this.#buffered = joined
  }

  /** Bytes that were pushed and not taken yet. */
  get buffered(): number {
    return this.#buffered.length
  }

  /** The answer to the last 'ask'. */
  answer(value: unknown): void {
    this.#step = this.#handshake.next(value)
  }

  poll(): HandshakeEvent<Result, Ask> {
    for (;;) {
      const step = this.#step
      if (step.done === true) return { type: 'done', result: step.value, rest: this.#buffered }
      if ('ask' in step.value) return { type: 'ask', ask: step.value.ask }
      if ('send' in step.value) {
        const bytes = step.value.send
        this.#step = this.#handshake.next()
        return { type: 'send', bytes }
      }
      const length = step.value.take
      if (length > MAX_OPTION_LENGTH) throw protocolError('a handshake message is too long', { length })
      if (this.#buffered.length < length) return { type: 'need-more' }
      const taken = this.#buffered.subarray(0, length)
      this.#buffered = this.#buffered.subarray(length)
      this.#step = this.#handshake.next(taken)
    }
  }
}
