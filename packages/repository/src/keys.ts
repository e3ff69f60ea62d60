import { RepositoryError } from './errors.ts'

/** Where each kind of object lives. DESIGN.md §7.1 lists them. */
export const FORMAT_KEY = 'varve.json'
export const POINTS_PREFIX = 'points/'

const SEGMENT = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/
const NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/

/** Makes the ids of new packs and maps. */
export type NewObjectId = () => string

const ATTEMPT_ID = /^[0-9a-f]{24}$/
const MOST_OBJECTS = 2 ** 32

/**
 * The ids that one attempt gives to its packs and maps: its own id of 12 random bytes, then a counter of 4. Random, so that two writers never meet and no
 * conditional write is needed; of one attempt, so that whatever lies in a repository can be told to be somebody's.
 */
export function objectIds(attemptId: string): NewObjectId {
  if (!ATTEMPT_ID.test(attemptId)) throw new RepositoryError('KEY_INVALID', `'${attemptId.slice(0, 100)}' is not the id of an attempt`)
  let next = 0
  return () => {
    if (next === MOST_OBJECTS) throw new RepositoryError('KEY_INVALID', `attempt ${attemptId} has no ids left`)
    return `${attemptId}${(next++).toString(16).padStart(8, '0')}`
  }
}

export function packKey(packId: string): string {
  return `packs/${packId.slice(0, 2)}/${packId}`
}

export function mapKey(mapId: string): string {
  return `maps/${mapId.slice(0, 2)}/${mapId}`
}

export function rootKey(imageId: string): string {
  return `images/${checkName(imageId)}.root`
}

/** `createdAt` is ISO 8601; its colons go, so that keys sort by time and are good file names. */
export function manifestKey(vmId: string, createdAt: string, restorePointId: string): string {
  return `${manifestPrefix(vmId)}${checkName(createdAt.replaceAll(/[:-]/g, ''))}-${checkName(restorePointId)}.json`
}

export function manifestPrefix(vmId: string): string {
  return `${POINTS_PREFIX}${checkName(vmId)}/`
}

/** A key that a store may be asked for: short, relative, no parts that are empty or begin with a dot. */
export function isKey(key: string): boolean {
  return key.length > 0 && key.length <= 512 && key.split('/').every(part => SEGMENT.test(part))
}

/** @throws RepositoryError KEY_INVALID */
export function checkKey(key: string): string {
  if (!isKey(key)) throw new RepositoryError('KEY_INVALID', `'${key.slice(0, 100)}' is not a valid object key`)
  return key
}

function checkName(name: string): string {
  if (!NAME.test(name)) throw new RepositoryError('KEY_INVALID', `'${name.slice(0, 100)}' cannot be part of an object key`)
  return name
}

/** What a key of the repository names. `unknown`: under a prefix of ours, but not of our making. `other`: not ours at all. */
export type ParsedKey =
  | { readonly kind: 'format' | 'unknown' | 'other' }
  | { readonly kind: 'pack' | 'map'; readonly id: string }
  | { readonly kind: 'root'; readonly imageId: string }
  | { readonly kind: 'manifest'; readonly vmId: string; readonly restorePointId: string }

const OURS = /^(packs|maps|images|points)\//
const BLOCKS = /^(packs|maps)\/([0-9a-f]{2})\/(\2[0-9a-f]{30})$/
const ROOT = /^images\/([A-Za-z0-9_-][A-Za-z0-9._-]{0,127})\.root$/
/** The id of a point is a UUID; other ids cannot be told from the time before them. */
const MANIFEST = /^points\/([A-Za-z0-9_-][A-Za-z0-9._-]{0,127})\/\d{8}T[\d.]{6,20}Z-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.json$/

export function parseKey(key: string): ParsedKey {
  if (key === FORMAT_KEY) return { kind: 'format' }
  const blocks = BLOCKS.exec(key)
  if (blocks !== null) return { kind: blocks[1] === 'packs' ? 'pack' : 'map', id: blocks[3]! }
  const root = ROOT.exec(key)
  if (root !== null) return { kind: 'root', imageId: root[1]! }
  const manifest = MANIFEST.exec(key)
  if (manifest !== null) return { kind: 'manifest', vmId: manifest[1]!, restorePointId: manifest[2]! }
  return { kind: OURS.test(key) ? 'unknown' : 'other' }
}
