import { accessSync, constants } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'

/** What programs started from here inherit. */
export function inheritedEnvironment(): NodeJS.ProcessEnv {
  return process.env
}

/** Where a server program is: named by a setting, in the PATH, or in Varve's cache of built tools; undefined when it is nowhere. */
export function findServer(name: 'redis-server' | 'minio'): string | undefined {
  const { PATH = '', VARVE_REDIS_SERVER, VARVE_MINIO, VARVE_CACHE = join(homedir(), '.cache', 'varve') } = process.env
  const named = name === 'minio' ? VARVE_MINIO : VARVE_REDIS_SERVER
  const folders = [...PATH.split(delimiter), '/usr/sbin', join(VARVE_CACHE, 'bin')]
  return [...(named ? [named] : []), ...folders.map(folder => join(folder, name))].find(isProgram)
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
