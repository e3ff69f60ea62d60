import { cp, mkdir, readdir, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ROOT } from './system.ts'
import { runTool } from './tools.ts'

/** A raw image with an ext4 file system of some hundred MB of real files: packages that this workspace has installed. */
export async function makeFilesystemImage(folder: string, imageSize: number, contentSize: number): Promise<string> {
  const staging = join(folder, 'files')
  await mkdir(staging, { recursive: true })
  const source = join(ROOT, 'node_modules', '.pnpm')
  let copied = 0
  for (const name of (await readdir(source)).sort()) {
    if (copied >= contentSize) break
    const size = await folderSize(join(source, name))
    if (size === 0 || copied + size > contentSize * 1.1) continue
    await cp(join(source, name), join(staging, name), { recursive: true, verbatimSymlinks: true })
    copied += size
  }
  if (copied < contentSize / 2) throw new Error(`only ${copied} bytes of real files found in node_modules`)
  const image = join(folder, 'filesystem.raw')
  await writeFile(image, '')
  await truncate(image, imageSize)
  await runTool('mke2fs', ['-q', '-t', 'ext4', '-d', staging, image])
  return image
}

async function folderSize(folder: string): Promise<number> {
  let size = 0
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])) {
    if (entry.isFile()) size += (await stat(join(entry.parentPath ?? entry.path, entry.name))).size
  }
  return size
}
