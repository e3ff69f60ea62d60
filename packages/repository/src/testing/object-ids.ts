import { randomBytes } from 'node:crypto'
import { type NewObjectId, objectIds } from '../keys.ts'

/** Ids of packs and maps, as if a new attempt wrote them. */
export function randomObjectIds(): NewObjectId {
  return objectIds(randomBytes(12).toString('hex'))
}
