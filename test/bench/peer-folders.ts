import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'

/* The folders that a peer writes to. */

export async function bytesIn(folder: string): Promise<number> {
  const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter(entry => entry.isFile())
  const sizes = await Promise.all(files.map(async file => (await stat(join(file.parentPath, file.name))).size))
  return sizes.reduce((sum, size) => sum + size, 0)
}

/** A fresh folder for what comes out, gone afterwards. */
export async function into<T>(target: string, run: () => Promise<T>): Promise<T> {
  await rm(target, { recursive: true, force: true })
  await mkdir(target)
  try {
    return await run()
  } finally {
    await rm(target, { recursive: true, force: true })
  }
}
