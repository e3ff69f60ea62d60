import { execFile } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

/** Where a program is, or undefined: tests skip with its name. */
export function findTool(name: string): string | undefined {
  for (const folder of [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin']) {
    try {
      accessSync(join(folder, name), constants.X_OK)
      return join(folder, name)
    } catch {}
  }
  return undefined
}

/** The first of these programs that is missing, as a reason to skip. */
export function missingTool(...names: string[]): string | undefined {
  const missing = names.filter(name => findTool(name) === undefined)
  return missing.length === 0 ? undefined : `not installed: ${missing.join(', ')} (infra/scripts/install-test-tools.sh)`
}

/** Run a program to its end; its output. Throws with its stderr. */
export async function runTool(name: string, args: readonly string[], ms = 120_000): Promise<string> {
  const { stdout } = await promisify(execFile)(findTool(name) ?? name, args, { timeout: ms, maxBuffer: 1 << 26 })
  return stdout
}
