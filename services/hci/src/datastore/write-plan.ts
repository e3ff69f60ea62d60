import type { Chain } from './chain.ts'
import { ABSENT, DATA, GRAIN, type Layer } from './layer.ts'

/**
 * How the bytes of one write reach the layers.
 *
 * - `place`: into the layer's data file where they belong; the grains are there already (or the layer is the base).
 * - `fresh`: whole grains that the overlay does not hold yet; the map follows the bytes.
 * - `copy`: part of a grain that the overlay does not hold yet; the rest comes from below (or is zero).
 */
export interface WriteStep {
  readonly kind: 'place' | 'fresh' | 'copy'
  readonly layer: Layer
  /** Index of the layer in the chain. */
  readonly depth: number
  readonly first: number
  last: number
}

/**
 * The layer that takes a write to this grain: the top one, except that a layer whose snapshot is being deleted takes no new
 * grains; what it does not hold goes to the layer below, which nobody else looks at any more.
 */
export function targetOf(chain: Chain, grain: number): number {
  let depth = chain.layers.length - 1
  while (depth > 0 && chain.layers[depth]!.draining && chain.layers[depth]!.state(grain) === ABSENT) depth -= 1
  return depth
}

/** Can all of these grains be written in place, so that the write need not keep other writes out? */
export function staysInPlace(chain: Chain, first: number, last: number): boolean {
  for (let grain = first; grain <= last; grain++) {
    const depth = targetOf(chain, grain)
    if (depth > 0 && chain.layers[depth]!.state(grain) !== DATA) return false
  }
  return true
}

/** Steps for the bytes `offset … end` (end exclusive) of a disk of `size` bytes, in order, neighbours joined where they can be. */
export function planWrite(chain: Chain, offset: number, end: number, size: number): WriteStep[] {
  const steps: WriteStep[] = []
  const last = Math.floor((end - 1) / GRAIN)
  for (let grain = Math.floor(offset / GRAIN); grain <= last; grain++) {
    const depth = targetOf(chain, grain)
    const layer = chain.layers[depth]!
    const whole = grain * GRAIN >= offset && Math.min((grain + 1) * GRAIN, size) <= end
    const kind = depth === 0 || layer.state(grain) === DATA ? 'place' : whole ? 'fresh' : 'copy'
    const before = steps.at(-1)
    if (before !== undefined && kind !== 'copy' && before.kind === kind && before.layer === layer) before.last = grain
    else steps.push({ kind, layer, depth, first: grain, last: grain })
  }
  return steps
}
