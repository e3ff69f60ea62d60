import type { NbdError } from '../errors.ts'
import type { Connection, WireRequest } from './connection.ts'

/** The connections of one client and the requests that wait for room on them, first come first served. */
export class Lanes {
  readonly #connections: Connection[] = []
  readonly #inFlight: number
  readonly #waiting: WireRequest[] = []
  #dead: NbdError | undefined

  constructor(inFlight: number) {
    this.#inFlight = inFlight
  }

  get count(): number {
    return this.#connections.length
  }

  get bytesRead(): number {
    let total = 0
    for (const connection of this.#connections) total += connection.bytesRead
    return total
  }

  add(connection: Connection): void {
    this.#connections.push(connection)
    if (connection.dead !== undefined) this.fail(connection.dead)
  }

  submit(request: WireRequest): void {
    if (this.#dead !== undefined) {
      request.settle(this.#dead)
      return
    }
    this.#waiting.push(request)
    this.dispatch()
  }

  dispatch(): void {
    while (this.#waiting.length > 0 && this.#dead === undefined) {
      let best: Connection | undefined
      for (const connection of this.#connections) {
        if (best === undefined || connection.openRequests < best.openRequests) best = connection
      }
      if (best === undefined || best.openRequests >= this.#inFlight) return
      best.send(this.#waiting.shift()!)
    }
  }

  /** One connection lost is the client lost: its callers open again. */
  fail(error: NbdError): void {
    void this.close(error)
  }

  async close(error: NbdError): Promise<void> {
    this.#dead ??= error
    for (const request of this.#waiting.splice(0)) request.settle(this.#dead)
    await Promise.all(this.#connections.map(connection => connection.close(this.#dead ?? error)))
  }
}
