import { existsSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'
import {
  type ManifestImage,
  openRepository,
  openStore,
  type Repository,
  RepositoryError,
  type RestorePointManifest,
  type StoreSettings,
} from '@varve/repository'
import { CliError } from '../errors.ts'
import { countedStore, type StoreCounts } from './counted-store.ts'

/** A restore point as the repository knows it; `manifest` is absent when it could not be read, with the reason. */
export type RepositoryPoint =
  | { readonly key: string; readonly manifest: RestorePointManifest }
  | { readonly key: string; readonly manifest?: undefined; readonly error: RepositoryError }

const MANIFESTS_AT_ONCE = 16
/** Shorter prefixes of ids are more likely typing errors. */
const PREFIX_MIN = 4

export interface OpenedRepository {
  /** As `openStore` wants it. */
  readonly url: string
  readonly repository: Repository
  readonly counts: Readonly<StoreCounts>
}

/** Reading must not make anything: neither a directory nor a repository. A path without a scheme is a directory. */
export async function openForReading(url: string, settings: StoreSettings, signal: AbortSignal): Promise<OpenedRepository> {
  const whole = /^[a-z][a-z0-9+.-]*:/i.test(url) ? url : pathToFileURL(url).href
  if (whole.startsWith('file:') && URL.canParse(whole) && !existsSync(fileURLToPath(whole))) {
    throw new RepositoryError('REPOSITORY_NOT_FOUND', `there is no directory ${fileURLToPath(whole)}`)
  }
  const { store, counts } = countedStore(await openStore(whole, settings))
  try {
    return { url: whole, repository: await openRepository(store, { signal }), counts }
  } catch (error) {
    await store.close()
    throw error
  }
}

/** Manifests by their keys, newest first. What is damaged comes with its error; what only says that the store is in trouble is thrown. */
export async function readPoints(repository: Repository, keys: readonly string[], signal: AbortSignal): Promise<RepositoryPoint[]> {
  const points: RepositoryPoint[] = []
  const queue = [...keys]
  const work = async (): Promise<void> => {
    for (let key = queue.shift(); key !== undefined; key = queue.shift()) {
      try {
        points.push({ key, manifest: await repository.getManifest(key, { signal }) })
      } catch (error) {
        if (!(error instanceof RepositoryError) || error.retryable || error.code === 'STORE_DENIED') throw error
        points.push({ key, error })
      }
    }
  }
  await Promise.all(Array.from({ length: MANIFESTS_AT_ONCE }, work))
  return points.sort((a, b) => timeOf(b.key).localeCompare(timeOf(a.key)))
}

/** `points/<vm id>/<time>-<point id>.json`: id and time without reading the manifest. */
export function pointIdOf(key: string): string {
  return nameOf(key).replace(/^[^-]*-/, '')
}

function timeOf(key: string): string {
  return nameOf(key).split('-')[0] ?? ''
}

function nameOf(key: string): string {
  return (key.split('/').at(-1) ?? '').replace(/\.json$/, '')
}

export interface PointChoice {
  /** Id, its beginning, `latest`, or the name or id of a VM, which means its newest. */
  readonly point: string | undefined
  /** Name or id: only its points. */
  readonly vm: string | undefined
}

/**
 * The one point that is meant. Only manifests that can matter are read: one for an id.
 *
 * @throws CliError NOT_FOUND, AMBIGUOUS, USAGE; RepositoryError MANIFEST_INVALID, MANIFEST_VERSION_UNKNOWN of the point meant
 */
export async function findRepositoryPoint(
  repository: Repository,
  { point = 'latest', vm }: PointChoice,
  signal: AbortSignal,
): Promise<RestorePointManifest> {
  const keys = await repository.listManifests(undefined, { signal })
  const text = point.toLowerCase()
  const byId = keys.filter(key => pointIdOf(key) === text)
  const byPrefix = text.length < PREFIX_MIN ? [] : keys.filter(key => pointIdOf(key).startsWith(text))
  const named = byId.length > 0 ? byId : byPrefix
  if (named.length > 1) {
    const some = named.slice(0, 5).map(key => pointIdOf(key).slice(0, 12))
    throw new CliError('AMBIGUOUS', `${point} fits ${named.length} restore points: ${some.join(', ')}${named.length > 5 ? ', …' : ''}`)
  }
  if (named[0] !== undefined) {
    const manifest = await repository.getManifest(named[0], { signal })
    if (vm !== undefined && !isVm(manifest, vm)) throw new CliError('NOT_FOUND', `restore point ${point} is not of VM ${vm}`)
    return manifest
  }
  if (point !== 'latest' && vm !== undefined) throw new CliError('NOT_FOUND', `the repository has no restore point ${point}`)
  return newest(await readPoints(repository, keys, signal), point === 'latest' ? vm : point, point)
}

function newest(points: readonly RepositoryPoint[], vm: string | undefined, text: string): RestorePointManifest {
  const manifests = points.flatMap(({ manifest }) => (manifest === undefined ? [] : [manifest]))
  const hits = vm === undefined ? manifests : manifests.filter(manifest => isVm(manifest, vm))
  const vms = new Set(hits.map(manifest => manifest.vm.id))
  if (vms.size > 1) {
    const what =
      vm === undefined
        ? `the repository holds ${vms.size} VMs; name one with --vm, or a point`
        : `${vms.size} VMs are named ${vm}; give an id`
    throw new CliError('AMBIGUOUS', what)
  }
  const first = hits[0]
  if (first !== undefined) return first
  const unread = points.length - manifests.length
  const but = unread === 0 ? '' : ` (${unread} of its ${points.length} manifests cannot be read: see --list)`
  throw new CliError('NOT_FOUND', `the repository has no restore point ${vm === undefined ? '' : 'or VM '}${vm ?? text}${but}`)
}

function isVm({ vm }: RestorePointManifest, text: string): boolean {
  return vm.name === text || vm.id === text || vm.platformVmId === text
}

/** A disk by its id or its number, from 0; the only one when none is named. @throws CliError NOT_FOUND, AMBIGUOUS */
export function findImage({ images }: RestorePointManifest, disk: string | undefined): ManifestImage {
  const all = images.map(({ diskId }, at) => `${at} (${diskId})`).join(', ')
  if (disk === undefined) {
    const [only, second] = images
    if (only !== undefined && second === undefined) return only
    throw new CliError(
      only === undefined ? 'NOT_FOUND' : 'AMBIGUOUS',
      `which disk? The restore point has ${all || 'none'}; say it with --disk`,
    )
  }
  const found = images.find(({ diskId }) => diskId === disk) ?? (/^\d+$/.test(disk) ? images[Number(disk)] : undefined)
  if (found === undefined) throw new CliError('NOT_FOUND', `the restore point has no disk ${disk}, only ${all || 'none'}`)
  return found
}
