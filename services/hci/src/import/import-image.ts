import { randomUUID } from 'node:crypto'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { NbdBackend } from '@varve/nbd'
import { KiB, MiB } from '@varve/runtime'
import type { Datastore, VmRecord } from '../datastore/datastore.ts'
import { HciError } from '../errors.ts'
import { vmNumber } from '../servers/config-routes.ts'
import { plainVmConf, type VmConf } from '../servers/vm-conf.ts'
import { storedVmConfig } from '../servers/vm-config.ts'
import type { VmNames } from '../servers/vm-names.ts'
import { convertToRaw, dataExtents, detectFormat, type ImageFormat } from './image-file.ts'

export interface ImportOptions {
  /** Name of the new VM. */
  readonly name: string
  /** One file, or `images` for several disks. */
  readonly file?: string
  readonly format?: ImageFormat | 'auto'
  readonly images?: readonly {
    readonly file: string
    readonly format?: ImageFormat | 'auto'
    /** Default `virtio0`, `virtio1`, … */
    readonly diskId?: string
  }[]
  /** Fields to lay over the plain configuration. */
  readonly vmconf?: VmConf
  /** Id of the new VM (default: a random UUID). */
  readonly vmId?: string
  readonly signal?: AbortSignal
  /** Bytes looked at so far, of all. */
  readonly onProgress?: (done: number, total: number) => void
}

const CHUNK = MiB
/** In the VM's stored configuration while its disks are not whole. */
const IMPORTING = 'importing'
/** Zeros are looked for in pieces of this size: the datastore's grain. */
const GRAIN = 64 * KiB
const ZEROS = Buffer.alloc(GRAIN)

interface Source {
  readonly file: string
  readonly size: number
  readonly temporary: boolean
  readonly diskId: string
}

/**
 * A new VM, off, with the images as its disks. Holes and zeros are not written, so a sparse image stays sparse; a size that is not a multiple of
 * 512 is rounded up. When something fails the VM is removed. NAME_TAKEN, IMPORT_FAILED, QEMU_IMG_MISSING, or what the datastore throws.
 */
export async function importImage(
  datastore: Datastore,
  names: VmNames,
  temporaryFolder: string,
  options: ImportOptions,
): Promise<VmRecord> {
  const images = options.images ?? (options.file === undefined ? [] : [{ file: options.file, format: options.format ?? 'auto' }])
  if (images.length === 0) throw new HciError('IMPORT_FAILED', 'no image file was named')
  names.require(options.name)
  const sources: Source[] = []
  try {
    for (const [index, image] of images.entries()) {
      const diskId = ('diskId' in image ? image.diskId : undefined) ?? `virtio${index}`
      sources.push(await sourceOf(image.file, image.format ?? 'auto', diskId, temporaryFolder, options.signal))
    }
    return await names.whileReserved(options.name, undefined, () => createFrom(datastore, sources, options))
  } finally {
    for (const source of sources) if (source.temporary) await rm(source.file, { force: true })
  }
}

/** After a kill such a VM is removed at the next start. */
export function isBeingImported(vm: VmRecord): boolean {
  return vm.config[IMPORTING] === true
}

async function sourceOf(
  file: string,
  wanted: ImageFormat | 'auto',
  diskId: string,
  temporaryFolder: string,
  signal: AbortSignal | undefined,
): Promise<Source> {
  const size = await sizeOf(file)
  const format = wanted === 'auto' ? await detectFormat(file) : wanted
  if (format === 'raw') return { file, size, temporary: false, diskId }
  const raw = join(temporaryFolder, `import-${randomUUID()}.raw`)
  try {
    await convertToRaw(file, raw, signal)
    return { file: raw, size: await sizeOf(raw), temporary: true, diskId }
  } catch (error) {
    await rm(raw, { force: true })
    throw error
  }
}

async function sizeOf(file: string): Promise<number> {
  const handle = await open(file, 'r').catch(cause => {
    throw new HciError('IMPORT_FAILED', `can not open ${file}: ${(cause as Error).message}`, {}, { cause })
  })
  try {
    const stats = await handle.stat()
    if (!stats.isFile()) throw new HciError('IMPORT_FAILED', `${file} is not a regular file`)
    if (stats.size === 0) throw new HciError('IMPORT_FAILED', `${file} is empty`)
    return stats.size
  } finally {
    await handle.close()
  }
}

async function createFrom(datastore: Datastore, sources: readonly Source[], options: ImportOptions): Promise<VmRecord> {
  const disks = sources.map(({ diskId, size }) => ({ id: diskId, size: Math.ceil(size / 512) * 512 }))
  const id = options.vmId ?? randomUUID()
  const vmconf = { ...plainVmConf(options.name, disks), ...options.vmconf }
  const config = storedVmConfig({ vmconf, suspended: false, vmNumber: vmNumber(id), snapshotNotes: {} })
  await datastore.createVm({ id, name: options.name, config: { ...config, [IMPORTING]: true }, disks })
  const total = sources.reduce((sum, source) => sum + source.size, 0)
  let done = 0
  try {
    for (const source of sources) {
      const before = done
      await copyInto(await datastore.openDisk(id, source.diskId), source, options.signal, upTo =>
        options.onProgress?.(before + upTo, total),
      )
      done += source.size
      options.onProgress?.(done, total)
    }
    return await datastore.updateVm(id, { config })
  } catch (error) {
    await datastore.deleteVm(id).catch(() => {})
    throw error
  }
}

async function copyInto(
  backend: NbdBackend,
  source: Source,
  signal: AbortSignal | undefined,
  progress: (upTo: number) => void,
): Promise<void> {
  const file = await open(source.file, 'r')
  const buffer = Buffer.allocUnsafe(CHUNK)
  try {
    for (const extent of await dataExtents(source.file, source.size, signal)) {
      const end = extent.offset + extent.length
      for (let offset = extent.offset; offset < end; offset += CHUNK) {
        signal?.throwIfAborted()
        const chunk = buffer.subarray(0, Math.min(CHUNK, end - offset))
        await readExactly(file, chunk, offset)
        await writeData(backend, offset, chunk)
        progress(offset + chunk.length)
      }
    }
    await backend.flush()
  } finally {
    await file.close()
    await backend.close()
  }
}

/** Only the grains that hold something, neighbours in one write. */
async function writeData(backend: NbdBackend, offset: number, chunk: Buffer): Promise<void> {
  let from = -1
  for (let at = 0; at <= chunk.length; at += GRAIN) {
    const grain = chunk.subarray(at, at + GRAIN)
    const data = grain.length > 0 && !grain.equals(ZEROS.subarray(0, grain.length))
    if (data && from < 0) from = at
    if (!data && from >= 0) {
      await backend.write(offset + from, chunk.subarray(from, at), false)
      from = -1
    }
  }
  if (from >= 0) await backend.write(offset + from, chunk.subarray(from), false)
}

async function readExactly(file: FileHandle, target: Buffer, offset: number): Promise<void> {
  let filled = 0
  while (filled < target.length) {
    const { bytesRead } = await file.read(target, filled, target.length - filled, offset + filled)
    if (bytesRead === 0) throw new HciError('IMPORT_FAILED', 'the image became shorter while it was read')
    filled += bytesRead
  }
}
