import { mkdir, readFile, readlink, rename, symlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { PostgresError } from './errors.ts'

/**
 * The npm package cannot carry symbolic links, so `libicuuc.so.60 -> libicuuc.so.60.2` and the like come as a list in
 * `native/pg-symlinks.json`, for a post-install script that we do not run. We make them in a folder of our own instead: node_modules
 * may be read-only or shared. The folder then goes into LD_LIBRARY_PATH, before the package's own: a
 * library opened through a link looks for its neighbours beside the link.
 */
export async function makeLibraryLinks(native: string, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o755 })
  const list: unknown = JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8'))
  if (!Array.isArray(list)) throw new PostgresError('POSTGRES_NOT_FOUND', `${native}/pg-symlinks.json is not a list`)
  for (const { source, target } of list as { source: string; target: string }[]) {
    // Both are given relative to the package's root.
    const wanted = join(dirname(native), source)
    const link = join(folder, basename(target))
    if ((await readlink(link).catch(() => null)) === wanted) continue
    // Replace in one step: a server that runs may be loading it.
    const next = `${link}.${process.pid}`
    await symlink(wanted, next)
    await rename(next, link)
  }
}
