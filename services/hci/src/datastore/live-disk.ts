import { Chain, type StatusExtent, settleAll } from './chain.ts'
import { DatastoreError } from './errors.ts'
import { ABSENT, DATA, GRAIN, type Layer, ZERO } from './layer.ts'
import { type Hold, RangeLock } from './range-lock.ts'
import type { Tracker } from './tracker.ts'
import type { WriteGate } from './write-gate.ts'
import { planWrite, staysInPlace, targetOf, type WriteStep } from './write-plan.ts'

/** Longer requests are done in pieces, so that locks are short and buffers bounded. Bytes, whole grains. */
const PIECE = 4 * 2 ** 20
const ZERO_PIECE = 2 ** 30

/** The disk as the guest has it: reads through the layers, tracked writes into the top one. */
export class LiveDisk {
  readonly id: string
  readonly locks = new RangeLock()
  size: number
  chain: Chain
  /** The CBT of the disk while it is on and has not expired. */
  tracker: Tracker | undefined
  readonly #gate: WriteGate
  readonly #spare: Buffer[] = []
  #closed = false

  constructor(id: string, size: number, layers: readonly Layer[], gate: WriteGate) {
    this.id = id
    this.size = size
    this.chain = new Chain(layers)
    this.#gate = gate
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    await this.readSnapshot(offset, target, () => this.chain.layers.length)
  }

  /** Read what the lowest layers have; how many is asked for each piece, since the end of a merge changes it. */
  async readSnapshot(offset: number, target: Uint8Array, depth: () => number): Promise<void> {
    for (let at = 0; at < target.length; at += PIECE) {
      this.#checkOpen()
      const chain = this.chain
      chain.retain()
      try {
        await chain.read(offset + at, target.subarray(at, at + PIECE), depth())
      } finally {
        chain.release()
      }
    }
  }

  status(offset: number, length: number, depth?: number): StatusExtent[] {
    return this.chain.status(offset, length, depth ?? this.chain.layers.length)
  }

  /** Resolves when the bytes would survive kill -9 of this process, and their CBT bits with them. */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const to = Math.min(bytes.length, at + PIECE - ((offset + at) % GRAIN))
      await this.#writePiece(offset + at, bytes.subarray(at, to))
      at = to
    }
  }

  /** The range reads as zeros afterwards; whole grains give their space back. */
  async zero(offset: number, length: number): Promise<void> {
    for (let at = 0; at < length; ) {
      const to = Math.min(length, at + ZERO_PIECE - ((offset + at) % GRAIN))
      await this.#zeroPiece(offset + at, to - at)
      at = to
    }
  }

  /** Everything acknowledged so far survives a power cut. */
  async flush(): Promise<void> {
    this.#checkOpen()
    const chain = this.chain
    chain.retain()
    try {
      // Bits before bytes, and layers from the bottom: a grain that a merge carried down must be there before it is gone above.
      await this.tracker?.sync()
      for (const layer of chain.layers) await layer.sync()
    } finally {
      chain.release()
    }
  }

  /** Requests from now on fail; those running are waited for. Writes are held by the caller. */
  async close(): Promise<void> {
    this.#closed = true
    await this.chain.idle()
    this.tracker?.close()
    for (const layer of this.chain.layers) await layer.close()
  }

  #checkOpen(): void {
    if (this.#closed) throw new DatastoreError('DATASTORE_CLOSED', 'the disk was closed', { diskId: this.id })
  }

  async #writePiece(offset: number, bytes: Uint8Array): Promise<void> {
    const end = offset + bytes.length
    const first = Math.floor(offset / GRAIN)
    const last = Math.floor((end - 1) / GRAIN)
    const wait = this.#gate.enter()
    if (wait !== undefined) await wait
    const chain = this.chain
    chain.retain()
    let hold: Hold | undefined
    try {
      this.#checkOpen()
      // Before the bytes, not only before the answer: a byte on disk without its bit would be a change never backed up.
      this.tracker?.mark(first, last + 1)
      // Shared when every grain stays where it is, else exclusive. Looked at again after waiting: a merge may have moved grains.
      for (let shared = staysInPlace(chain, first, last); ; shared = false) {
        const got = this.locks.acquire(first, last, !shared)
        hold = got instanceof Promise ? await got : got
        if (!shared || staysInPlace(chain, first, last)) break
        this.locks.release(hold)
      }
      // From here to the first await of each step nothing else runs, so the plan holds.
      const steps = planWrite(chain, offset, end, this.size)
      if (steps.length === 1) await this.#runStep(chain, steps[0]!, offset, bytes)
      else await settleAll(steps.map(step => this.#runStep(chain, step, offset, bytes)))
    } finally {
      if (hold !== undefined) this.locks.release(hold)
      chain.release()
      this.#gate.leave()
    }
  }

  async #runStep(chain: Chain, step: WriteStep, offset: number, bytes: Uint8Array): Promise<void> {
    const { layer, first, last } = step
    layer.touch(first, last)
    const from = Math.max(offset, first * GRAIN)
    const to = Math.min(offset + bytes.length, (last + 1) * GRAIN)
    const part = bytes.subarray(from - offset, to - offset)
    if (step.kind === 'copy') {
      await this.#copyOnWrite(chain, step, from, part)
      return
    }
    if (step.kind === 'place') {
      if (layer.isBase) layer.map.map.fill(first, last + 1, DATA)
      await layer.data.write(from, part)
      return
    }
    await layer.data.write(from, part)
    layer.map.map.fill(first, last + 1, DATA)
  }

  async #copyOnWrite(chain: Chain, step: WriteStep, from: number, part: Uint8Array): Promise<void> {
    const { layer, first: grain } = step
    const start = grain * GRAIN
    const spare = this.#spare.pop() ?? Buffer.allocUnsafe(GRAIN)
    try {
      const whole = spare.subarray(0, Math.min(GRAIN, this.size - start))
      if (layer.state(grain) === ZERO) whole.fill(0)
      else await chain.read(start, whole, step.depth)
      whole.set(part, from - start)
      await layer.data.write(start, whole)
      layer.map.map.fill(grain, grain + 1, DATA)
    } finally {
      if (this.#spare.length < 16) this.#spare.push(spare)
    }
  }

  async #zeroPiece(offset: number, length: number): Promise<void> {
    const end = offset + length
    const first = Math.floor(offset / GRAIN)
    const last = Math.floor((end - 1) / GRAIN)
    const wait = this.#gate.enter()
    if (wait !== undefined) await wait
    const chain = this.chain
    chain.retain()
    let hold: Hold | undefined
    try {
      this.#checkOpen()
      this.tracker?.mark(first, last + 1)
      hold = await this.locks.acquire(first, last, true)
      const wholeFrom = Math.ceil(offset / GRAIN)
      const wholeTo = end === this.size ? last + 1 : Math.floor(end / GRAIN)
      if (wholeFrom >= wholeTo) {
        // Inside one grain, or over the border of two.
        await this.#zeroPart(chain, offset, Math.min(end, (first + 1) * GRAIN))
        if (last > first) await this.#zeroPart(chain, last * GRAIN, end)
        return
      }
      if (offset < wholeFrom * GRAIN) await this.#zeroPart(chain, offset, wholeFrom * GRAIN)
      await this.#zeroGrains(chain, wholeFrom, wholeTo)
      if (wholeTo * GRAIN < end) await this.#zeroPart(chain, wholeTo * GRAIN, end)
    } finally {
      if (hold !== undefined) this.locks.release(hold)
      chain.release()
      this.#gate.leave()
    }
  }

  /** Part of one grain. Nothing to do where it is zeros already. */
  async #zeroPart(chain: Chain, from: number, to: number): Promise<void> {
    if (chain.locate(Math.floor(from / GRAIN), chain.layers.length) === undefined) return
    const [step] = planWrite(chain, from, to, this.size)
    if (step !== undefined) await this.#runStep(chain, step, from, Buffer.alloc(to - from))
  }

  async #zeroGrains(chain: Chain, from: number, to: number): Promise<void> {
    for (let grain = from; grain < to; ) {
      const depth = targetOf(chain, grain)
      const layer = chain.layers[depth]!
      const source = chain.locate(grain, depth + 1)
      let next = grain + 1
      while (next < to && targetOf(chain, next) === depth && chain.locate(next, depth + 1) === source) next += 1
      layer.touch(grain, next - 1)
      if (source !== undefined) await this.#zeroRun(layer, source === layer, grain, next)
      grain = next
    }
  }

  async #zeroRun(layer: Layer, holdsIt: boolean, from: number, to: number): Promise<void> {
    const offset = from * GRAIN
    const length = Math.min(this.size, to * GRAIN) - offset
    if (layer.isBase) {
      await layer.data.zero(offset, length)
      layer.map.map.fill(from, to, ABSENT)
      return
    }
    layer.map.map.fill(from, to, ZERO)
    if (holdsIt) await layer.data.discard(offset, length)
  }
}
