import { isBlockSize } from '@varve/block-map'
import { RepositoryError } from './errors.ts'
import { isObject, type JsonObject, openSealedJson, sealJson } from './sealed-json.ts'

/** 16 MiB: thousands of disks and any VM configuration. A longer one is refused unread. */
export const MAX_MANIFEST_LENGTH = 16 * 1024 * 1024
const FORMAT = 'varve-restore-point'
const VERSION = 1

/**
 * Everything that the repository itself knows of a restore point: from manifests alone the catalog can be rebuilt. Ids are
 * UUID text as a rule, times ISO 8601 in UTC, sizes bytes.
 */
export interface RestorePointManifest {
  readonly restorePointId: string
  readonly vm: {
    readonly id: string
    readonly platformId: string
    readonly platformVmId: string
    readonly name: string
  }
  readonly createdAt: string
  /** Decimal text of the 64-bit checkpoint id. */
  readonly checkpointId: string
  readonly parentId: string | null
  /** The VM's configuration as the platform gave it; opaque. */
  readonly config: Readonly<Record<string, unknown>>
  readonly images: readonly ManifestImage[]
}

export interface ManifestImage {
  readonly imageId: string
  readonly diskId: string
  readonly diskSize: number
  readonly blockSize: number
  readonly kind: 'full' | 'incremental'
  /** Why it is a full; null for an incremental. */
  readonly reason: string | null
  readonly rootKey: string
  /** 64 hex digits. */
  readonly merkleRoot: string
  /** Does the checkpoint cover this disk, so that the point can be its parent? */
  readonly cbt: boolean
  /** Bytes read from the source and bytes added to the repository. */
  readonly read: number
  readonly stored: number
}

/** @throws RepositoryError MANIFEST_INVALID when the manifest could not be read back. */
export function encodeManifest(manifest: RestorePointManifest): Buffer {
  const bytes = seal(manifest)
  if (bytes.length > MAX_MANIFEST_LENGTH) throw invalid(`it has ${bytes.length} bytes, more than ${MAX_MANIFEST_LENGTH}`)
  decodeManifest(bytes)
  return bytes
}

function seal(manifest: RestorePointManifest): Buffer {
  try {
    // Through JSON first: what it drops or changes (undefined, dates) must be so in the sum as well.
    const plain = JSON.parse(JSON.stringify(manifest)) as JsonObject
    return sealJson({ format: FORMAT, version: VERSION, ...plain })
  } catch (cause) {
    throw new RepositoryError('MANIFEST_INVALID', 'the restore point manifest cannot be written as JSON', {}, { cause })
  }
}

/** @throws RepositoryError MANIFEST_INVALID, MANIFEST_VERSION_UNKNOWN */
export function decodeManifest(bytes: Uint8Array): RestorePointManifest {
  if (bytes.length > MAX_MANIFEST_LENGTH) throw invalid(`it has ${bytes.length} bytes, more than ${MAX_MANIFEST_LENGTH}`)
  const opened = openSealedJson(bytes)
  if (typeof opened === 'string') throw invalid(opened)
  const { format, version, ...manifest } = opened
  if (format !== FORMAT) throw invalid('it is not a restore point manifest')
  if (version !== VERSION) throw new RepositoryError('MANIFEST_VERSION_UNKNOWN', `manifest version ${JSON.stringify(version)} is not known`)
  const fault = faultOf(manifest)
  if (fault !== undefined) throw invalid(`${fault} is missing or not valid`)
  return manifest as unknown as RestorePointManifest
}

function faultOf(manifest: JsonObject): string | undefined {
  const { vm, images } = manifest
  if (!isText(manifest.restorePointId)) return 'restorePointId'
  if (!isObject(vm)) return 'vm'
  for (const key of ['id', 'platformId', 'platformVmId', 'name']) if (!isText(vm[key])) return `vm.${key}`
  if (!isText(manifest.createdAt) || Number.isNaN(Date.parse(manifest.createdAt))) return 'createdAt'
  if (!isText(manifest.checkpointId) || !/^\d{1,20}$/.test(manifest.checkpointId)) return 'checkpointId'
  if (manifest.parentId !== null && !isText(manifest.parentId)) return 'parentId'
  if (!isObject(manifest.config)) return 'config'
  if (!Array.isArray(images)) return 'images'
  for (const [i, image] of images.entries()) {
    const fault = isObject(image) ? imageFault(image) : 'image'
    if (fault !== undefined) return `images[${i}].${fault}`
  }
  return undefined
}

function imageFault(image: JsonObject): string | undefined {
  for (const key of ['imageId', 'diskId', 'rootKey']) if (!isText(image[key])) return key
  for (const key of ['diskSize', 'read', 'stored']) if (!isSize(image[key])) return key
  if (!isSize(image.blockSize) || !isBlockSize(image.blockSize)) return 'blockSize'
  if (image.kind !== 'full' && image.kind !== 'incremental') return 'kind'
  if (image.reason !== null && !isText(image.reason)) return 'reason'
  if (!isText(image.merkleRoot) || !/^[0-9a-f]{64}$/.test(image.merkleRoot)) return 'merkleRoot'
  return typeof image.cbt === 'boolean' ? undefined : 'cbt'
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= 1024
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function invalid(why: string): RepositoryError {
  return new RepositoryError('MANIFEST_INVALID', `the restore point manifest is not valid: ${why}`)
}
