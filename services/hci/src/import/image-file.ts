import { execFile } from 'node:child_process'
import { open } from 'node:fs/promises'
import { promisify } from 'node:util'
import { HciError } from '../errors.ts'

const run = promisify(execFile)

export type ImageFormat = 'raw' | 'qcow2'

/** The format by the first bytes: anything that is not qcow2 is raw. */
export async function detectFormat(file: string): Promise<ImageFormat> {
  const handle = await open(file, 'r').catch(cause => {
    throw new HciError('IMPORT_FAILED', `can not open ${file}: ${(cause as Error).message}`, {}, { cause })
  })
  try {
    const magic = Buffer.alloc(4)
    await handle.read(magic, 0, 4, 0)
    return magic.toString('latin1') === 'QFI\xfb' ? 'qcow2' : 'raw'
  } finally {
    await handle.close()
  }
}

/**
 * A qcow2 image as a sparse raw file, by qemu-img. QEMU_IMG_MISSING without that program. An image with a backing file is refused: its name
 * comes from the image and would make the platform read any file of the machine.
 */
export async function convertToRaw(file: string, rawFile: string, signal: AbortSignal | undefined): Promise<void> {
  const options = signal === undefined ? {} : { signal }
  try {
    const { stdout } = await run('qemu-img', ['info', '-f', 'qcow2', '--output=json', file], options)
    const info = JSON.parse(stdout) as Record<string, unknown>
    if ('backing-filename' in info) throw new HciError('IMPORT_FAILED', `${file} has a backing file; flatten it first (qemu-img convert)`)
    if (JSON.stringify(info).includes('data-file'))
      throw new HciError('IMPORT_FAILED', `${file} has an external data file; flatten it first`)
    await run('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', file, rawFile], options)
  } catch (error) {
    if (error instanceof HciError) throw error
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      throw new HciError(
        'QEMU_IMG_MISSING',
        'importing a qcow2 image needs the program qemu-img, which is not installed',
        {},
        { cause: error },
      )
    }
    const said = String((error as { stderr?: unknown }).stderr ?? '').trim()
    throw new HciError('IMPORT_FAILED', `qemu-img can not read ${file}: ${said || (error as Error).message}`, {}, { cause: error })
  }
}

export interface DataExtent {
  readonly offset: number
  readonly length: number
}

/** The parts of a raw file that are not holes, by qemu-img where it is installed; else the whole file. */
export async function dataExtents(file: string, size: number, signal: AbortSignal | undefined): Promise<readonly DataExtent[]> {
  try {
    const { stdout } = await run('qemu-img', ['map', '-f', 'raw', '--output=json', file], {
      maxBuffer: 256 * 1024 * 1024,
      ...(signal === undefined ? {} : { signal }),
    })
    const extents = JSON.parse(stdout) as readonly { start: number; length: number; zero: boolean }[]
    return extents.filter(e => !e.zero && e.start < size).map(e => ({ offset: e.start, length: Math.min(e.length, size - e.start) }))
  } catch {
    signal?.throwIfAborted()
    return size === 0 ? [] : [{ offset: 0, length: size }]
  }
}
