import type { Repository, StoreSettings } from '@varve/repository'
import type { ExtractOptions } from '../commands/extract.ts'
import { EXIT_CODES } from '../exit-codes.ts'
import type { Session } from '../session.ts'
import { formatTable } from '../table.ts'
import { formatBytes, formatDuration } from '../units.ts'
import { shortId } from '../words.ts'
import { extractView } from './extract-view.ts'
import { openForReading, pointIdOf, type RepositoryPoint, readPoints } from './repository-points.ts'
import { type ExtractSummary, runExtract } from './run-extract.ts'

/** Damaged ranges shown to people; --json has all. */
const SHOWN_DAMAGE = 20

/** `varve extract`: what the command does once its line is understood. */
export async function extract(session: Session, url: string, options: ExtractOptions): Promise<void> {
  const storeSettings = storeSettingsOf(session, options)
  const opened = await openForReading(url, storeSettings, session.signal)
  try {
    if (options.list) await list(session, opened.repository, options)
    else {
      const { point, vm, disk, onDamage, threads, output = '-' } = options
      const request = { url: opened.url, storeSettings, point, vm, disk, output, force: options.force === true, onDamage, threads }
      const view = extractView(session, options.json === true)
      const summary = await runExtract(opened, request, view, session.signal).finally(() => view.end())
      tell(session, summary, options.json === true)
    }
  } finally {
    await opened.repository.store.close()
  }
}

function storeSettingsOf({ config }: Session, options: ExtractOptions): StoreSettings {
  const endpoint = options.s3Endpoint ?? config.s3.endpoint
  const region = options.s3Region ?? config.s3.region
  const accessKey = options.s3AccessKey ?? config.s3.accessKey
  const { secretKey } = config.s3
  return {
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    ...(accessKey === undefined ? {} : { accessKey }),
    ...(secretKey === undefined ? {} : { secretKey }),
  }
}

function tell(session: Session, summary: ExtractSummary, json: boolean): void {
  const { damage, vmName, diskId, diskSize, bytes, stored, packs, seconds, output } = summary
  if (damage.length > 0) session.exitCode = EXIT_CODES.DAMAGE
  if (json) {
    session.print(JSON.stringify(summary, null, 2))
    return
  }
  const rate = seconds > 0 ? ` (${formatBytes(bytes / seconds)}/s)` : ''
  session.remark(
    `${vmName} ${diskId} of ${summary.createdAt} to ${output === '-' ? 'standard output' : output}: ${formatBytes(diskSize)}, of it ${formatBytes(bytes)} data ` +
      `from ${formatBytes(stored)} in ${packs} packs, in ${formatDuration(seconds * 1000)}${rate}; every block checked`,
  )
  for (const { offset, length, code, message } of damage.slice(0, SHOWN_DAMAGE)) {
    session.remark(`  damaged: ${length} bytes at ${offset}: ${code}: ${message}`)
  }
  if (damage.length > SHOWN_DAMAGE) session.remark(`  and ${damage.length - SHOWN_DAMAGE} more ranges; --json lists all`)
}

async function list(session: Session, repository: Repository, { vm, json }: ExtractOptions): Promise<void> {
  const all = await readPoints(repository, await repository.listManifests(undefined, { signal: session.signal }), session.signal)
  const points = vm === undefined ? all : all.filter(({ manifest }) => manifest?.vm.name === vm || manifest?.vm.id === vm)
  if (json) return session.print(JSON.stringify(points.map(pointInfo), null, 2))
  if (points.length === 0) return session.remark('No restore points.')
  const rows = points.flatMap(rowsOf)
  session.print(
    formatTable<Row>(
      [
        { title: 'POINT', value: row => row.point },
        { title: 'VM', value: row => row.vm },
        { title: 'AT', value: row => row.at },
        { title: 'DISK', value: row => row.disk },
        { title: 'KIND', value: row => row.kind },
        { title: 'SIZE', value: row => row.size, right: true },
        { title: 'STORED', value: row => row.stored, right: true },
      ],
      rows,
    ),
  )
}

interface Row {
  readonly point: string
  readonly vm: string
  readonly at: string
  readonly disk: string
  readonly kind: string
  readonly size: string
  readonly stored: string
}

/** One line a disk; the point is named on the first. */
function rowsOf(point: RepositoryPoint): Row[] {
  const id = shortId(pointIdOf(point.key))
  if (point.manifest === undefined) {
    return [{ point: id, vm: '-', at: '-', disk: '-', kind: `cannot be read: ${point.error.code}`, size: '-', stored: '-' }]
  }
  const { vm, createdAt, images } = point.manifest
  return images.map((image, at) => ({
    point: at === 0 ? id : '',
    vm: at === 0 ? vm.name : '',
    at: at === 0 ? createdAt.replace('T', ' ').replace(/\.\d+Z$/, 'Z') : '',
    disk: `${at} ${image.diskId}`,
    kind: image.reason === null ? image.kind : `${image.kind} (${image.reason})`,
    size: formatBytes(image.diskSize),
    stored: formatBytes(image.stored),
  }))
}

/** A point as --list --json tells it: the manifest without the VM's configuration. */
function pointInfo(point: RepositoryPoint): Record<string, unknown> {
  if (point.manifest === undefined) {
    const { code, message } = point.error
    return { restorePointId: pointIdOf(point.key), key: point.key, error: { code, message } }
  }
  const { config: _config, ...rest } = point.manifest
  return { ...rest, key: point.key }
}
