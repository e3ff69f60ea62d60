import { availableParallelism } from 'node:os'
import { merkleRoot, type Root } from '@varve/block-map'
import { type ManifestImage, type Repository, RepositoryError, type RestorePointManifest, type StoreSettings } from '@varve/repository'
import { CliError } from '../errors.ts'
import { dataBytes, type Extracted, extractDisk, type OnDamage } from './extract-disk.ts'
import { extractStream } from './extract-stream.ts'
import { findImage, findRepositoryPoint, type OpenedRepository, type PointChoice } from './repository-points.ts'
import { SparseFile } from './sparse-file.ts'

/** More threads than this only share the same network and the same disk. */
const MAX_THREADS = 4

export interface ExtractRequest extends PointChoice {
  readonly url: string
  readonly storeSettings: StoreSettings
  readonly disk: string | undefined
  /** A file, or `-`. */
  readonly output: string
  readonly force: boolean
  readonly onDamage: OnDamage
  /** Default: one a core, at most 4. */
  readonly threads: number | undefined
}

/** What is told before and while bytes move. */
export interface ExtractView {
  begin(what: { readonly manifest: RestorePointManifest; readonly image: ManifestImage; readonly total: number }): void
  progress(done: number): void
}

export interface ExtractSummary extends Omit<Extracted, 'counts'> {
  readonly restorePointId: string
  readonly vmName: string
  readonly createdAt: string
  readonly diskId: string
  readonly diskSize: number
  readonly output: string
  readonly seconds: number
  /** Gets from the store, and bytes that came: maps, roots, manifests and gaps included. */
  readonly gets: number
  readonly fetched: number
}

/**
 * Bring one disk of one restore point out of a repository, with nothing but the repository.
 *
 * @throws CliError, RepositoryError, BlockMapError; the signal's reason
 */
export async function runExtract(
  opened: OpenedRepository,
  request: ExtractRequest,
  view: ExtractView,
  signal: AbortSignal,
): Promise<ExtractSummary> {
  const started = performance.now()
  const { repository } = opened
  const manifest = await findRepositoryPoint(repository, request, signal)
  const image = findImage(manifest, request.disk)
  const root = await openRoot(repository, image, signal)
  view.begin({ manifest, image, total: dataBytes(root) })
  const call = { repository, root, onDamage: request.onDamage, signal, onProgress: (done: number) => view.progress(done) }
  const { counts, ...extracted } = request.output === '-' ? await extractStream({ ...call, fd: 1 }) : await toFile(call, request)
  const { restorePointId, createdAt, vm } = manifest
  return {
    restorePointId,
    vmName: vm.name,
    createdAt,
    diskId: image.diskId,
    diskSize: image.diskSize,
    output: request.output,
    seconds: Math.round(performance.now() - started) / 1000,
    ...extracted,
    gets: opened.counts.gets + counts.gets,
    fetched: opened.counts.bytes + counts.bytes,
  }
}

async function toFile(call: Omit<Parameters<typeof extractDisk>[0], 'thread' | 'threads'>, request: ExtractRequest): Promise<Extracted> {
  const { output, force, url, storeSettings } = request
  const file = SparseFile.create(output, call.root.diskSize, force)
  try {
    const { diskSize, blockSize } = call.root
    const thread = { repositoryUrl: url, storeSettings, geometry: { diskSize, blockSize }, path: file.partial }
    const threads = request.threads ?? Math.min(MAX_THREADS, availableParallelism())
    const extracted = await extractDisk({ ...call, thread, threads })
    file.finish()
    return extracted
  } catch (error) {
    file.abandon()
    throw error
  }
}

/** The root that the manifest means, and no other. */
async function openRoot(repository: Repository, image: ManifestImage, signal: AbortSignal): Promise<Root> {
  let root: Root
  try {
    root = await repository.getRoot(image.rootKey, { signal })
  } catch (cause) {
    if (!(cause instanceof RepositoryError && cause.code === 'OBJECT_NOT_FOUND')) throw cause
    throw new CliError('DATA_DAMAGED', `the block map of disk ${image.diskId} is gone (${image.rootKey})`, {}, { cause })
  }
  const same =
    root.diskSize === image.diskSize &&
    root.blockSize === image.blockSize &&
    root.blockSize === repository.format.blockSize &&
    merkleRoot(root).toString('hex') === image.merkleRoot
  if (!same) throw new CliError('DATA_DAMAGED', `the block map of disk ${image.diskId} is not the one its restore point was made with`)
  return root
}
