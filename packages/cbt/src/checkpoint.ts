import { CbtError } from './errors.ts'

/** The two halves of a checkpoint id. `versionId` grows at a reset, `incId` at each snapshot; both are unsigned 32-bit. */
export interface Checkpoint {
  readonly versionId: number
  readonly incId: number
}

export const MAX_U32 = 0xffff_ffff

/** `(version_id << 32) | inc_id`. 0n means "everything allocated". */
export function checkpointId({ versionId, incId }: Checkpoint): bigint {
  return (BigInt(versionId) << 32n) | BigInt(incId)
}

/**
 * The halves of an id.
 *
 * @throws CbtError CHECKPOINT_INVALID when negative or wider than 64 bits.
 */
export function splitCheckpoint(id: bigint): Checkpoint {
  if (id < 0n || id > 0xffff_ffff_ffff_ffffn) throw new CbtError('CHECKPOINT_INVALID', 'a checkpoint id has 64 bits', { id: String(id) })
  return { versionId: Number(id >> 32n), incId: Number(id & 0xffff_ffffn) }
}

/**
 * An id from its decimal text, as snapshots report it.
 *
 * @throws CbtError CHECKPOINT_INVALID for anything but 1 to 20 decimal digits within 64 bits.
 */
export function parseCheckpoint(text: string): bigint {
  if (!/^\d{1,20}$/.test(text)) throw new CbtError('CHECKPOINT_INVALID', 'a checkpoint id is decimal text', { text: text.slice(0, 40) })
  const id = BigInt(text)
  splitCheckpoint(id)
  return id
}

/** Decimal text of an id. */
export function formatCheckpoint(id: bigint): string {
  return id.toString(10)
}
