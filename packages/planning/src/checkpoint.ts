/**
 * A checkpoint id is `(version_id << 32) | inc_id`: version_id grows when tracking is reset, inc_id at each snapshot.
 * 0 stands for "no checkpoint" on a snapshot and for "everything allocated" in a query.
 */
export const NO_CHECKPOINT = 0n

/** Do both belong to the same generation of tracking, that is, was there no reset between them? */
export function sameGeneration(a: bigint, b: bigint): boolean {
  return a >> 32n === b >> 32n
}

/**
 * Can changes between the two be asked for? Not across a reset, and not backwards in time (a snapshot older than the
 * checkpoint means that the VM was reverted).
 */
export function follows(since: bigint, checkpoint: bigint): boolean {
  return since > NO_CHECKPOINT && sameGeneration(since, checkpoint) && since <= checkpoint
}
