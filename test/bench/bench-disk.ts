import { cp, mkdir, open, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { GiB, KiB, MiB } from '@varve/runtime'
import { noise } from '../support/pattern.ts'
import { ROOT } from '../support/system.ts'
import { runTool } from '../support/tools.ts'

/**
 * The disk that everything is measured with, sparse, half allocated: a third log-like text, a third random bytes, a third a real ext4
 * file system with files of this checkout and its tools. A function of seed and size, but for the files.
 */
export interface BenchDisk {
  readonly path: string
  readonly size: number
  /** Bytes that hold something. */
  readonly allocated: number
}

/** Data lies in runs of this length, so that holes are between. */
const RUN = 16 * MiB

export async function makeBenchDisk(folder: string, size = 4 * GiB, seed = 'seed 1'): Promise<BenchDisk> {
  const path = join(folder, 'disk.img')
  const third = Math.floor(size / 6 / RUN) * RUN
  const file = await open(path, 'w')
  try {
    await file.truncate(size)
    for (let done = 0; done < third; done += RUN) await file.write(text(`${seed} text ${done}`, RUN), 0, RUN, done * 2)
    for (let done = 0; done < third; done += RUN) await file.write(noise(`${seed} noise ${done}`, RUN), 0, RUN, third * 2 + done * 2)
  } finally {
    await file.close()
  }
  await writeFileSystem(folder, path, third * 4, third)
  return { path, size, allocated: (await stat(path)).blocks * 512 }
}

/** Lines of a web server's log with numbers in them, none of them twice: zstd makes a third of them. */
function text(seed: string, length: number): Buffer {
  // Eight bytes a line, the shortest of which has fifty.
  const random = noise(seed, Math.ceil(length / 6))
  const out = Buffer.alloc(length)
  for (let at = 0, i = 0; at < length; i += 8) {
    const n = random.readUInt32LE(i)
    const m = random.readUInt32LE(i + 4)
    at += out.write(
      `2026-03-01T${String(n % 24).padStart(2, '0')}:${String(m % 60).padStart(2, '0')}:00Z GET /orders/${n} 200 ${m % 9999} ms id=${m.toString(36)}\n`,
      at,
    )
  }
  return out
}

async function writeFileSystem(folder: string, disk: string, offset: number, length: number): Promise<void> {
  const tree = join(folder, 'tree')
  await mkdir(tree)
  let room = length * 0.85
  for (const from of [join(ROOT, 'packages'), join(ROOT, 'services'), '/usr/lib/x86_64-linux-gnu', '/usr/bin', '/usr/share', '/usr/sbin']) {
    room = await copySome(from, join(tree, from.replaceAll('/', '_')), room)
  }
  await runTool('mke2fs', ['-q', '-t', 'ext4', '-d', tree, '-E', `offset=${offset}`, '-F', disk, `${Math.floor(length / KiB)}k`])
  await rm(tree, { recursive: true })
}

/** Copy plain files until `room` is used up; what is left of it. One file of several names (hard links) is one file. */
async function copySome(from: string, to: string, room: number, copied = new Set<number>()): Promise<number> {
  let left = room
  for (const entry of await readdir(from, { withFileTypes: true }).catch(() => [])) {
    if (left <= 0) return 0
    if (entry.name === 'node_modules' || entry.name.startsWith('.')) continue
    if (entry.isDirectory()) left = await copySome(join(from, entry.name), join(to, entry.name), left, copied)
    if (!entry.isFile()) continue
    const { size, ino } = await stat(join(from, entry.name))
    if (size > left || copied.has(ino)) continue
    copied.add(ino)
    await mkdir(to, { recursive: true })
    await cp(join(from, entry.name), join(to, entry.name)).catch(() => {})
    left -= size + 4 * KiB
  }
  return left
}

export interface Change {
  readonly offset: number
  readonly bytes: Buffer
}

/** Writes of 64 KiB all over the disk, holes included, 1 % of it by default; half text, half random. */
export function* changes(size: number, seed: string, share = 0.01): Generator<Change> {
  const pieces = Math.floor((size * share) / (64 * KiB))
  const places = noise(`${seed} places`, pieces * 4)
  for (let i = 0; i < pieces; i++) {
    const offset = (places.readUInt32LE(i * 4) % Math.floor(size / (64 * KiB))) * 64 * KiB
    yield { offset, bytes: i % 2 === 0 ? text(`${seed} ${i}`, 64 * KiB) : noise(`${seed} ${i}`, 64 * KiB) }
  }
}

/** Make the same changes to the image itself. */
export async function writeChanges(path: string, list: Iterable<Change>): Promise<void> {
  const file = await open(path, 'r+')
  try {
    for (const { offset, bytes } of list) await file.write(bytes, 0, bytes.length, offset)
  } finally {
    await file.close()
  }
}
