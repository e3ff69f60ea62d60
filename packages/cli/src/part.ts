import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { CliError } from './errors.ts'

/** A long-running part that `varve` starts, found when it is asked for: the command itself works without them. */
interface Part {
  readonly summary: string
  readonly folder: string
  readonly run: string
}

export const PARTS: Readonly<Record<string, Part>> = {
  standalone: { summary: 'run all of Varve on this machine', folder: 'standalone', run: 'runStandalone' },
  cluster: { summary: 'run Varve on many processes of this machine', folder: 'standalone', run: 'runCluster' },
  hci: { summary: 'run the reference platform', folder: 'hci', run: 'runHci' },
  demo: { summary: 'show the main job from beginning to end', folder: 'standalone', run: 'runDemo' },
}

/** `entry` is the file of this command, for parts that start others as processes of their own. */
type RunPart = (argv: readonly string[], entry: string) => Promise<number | undefined>

/** @throws CliError NOT_INSTALLED */
export async function loadPart(name: string): Promise<RunPart> {
  const part = PARTS[name] as Part
  const built = new URL(`../../../services/${part.folder}/dist/index.js`, import.meta.url)
  if (!existsSync(fileURLToPath(built))) throw new CliError('NOT_INSTALLED', `the part "${name}" is not built (services/${part.folder})`)
  const exports = (await import(built.href)) as Record<string, unknown>
  const run = exports[part.run]
  if (typeof run !== 'function')
    throw new CliError('NOT_INSTALLED', `the part "${name}" has no ${part.run}; it was built from another version`)
  return run as RunPart
}
