import { readFileSync } from 'node:fs'
import { CommanderError } from 'commander'
import { loadCliConfig } from './config.ts'
import { CliError, exitCodeOf, explain } from './errors.ts'
import { EXIT_CODES } from './exit-codes.ts'
import { loadPart, PARTS } from './part.ts'
import { buildProgram } from './program.ts'
import { createSession, type Session } from './session.ts'

/** The whole life of one `varve` command. `entry` is the file that was started, for parts that start themselves again. */
export async function main(argv: readonly string[], entry: string): Promise<void> {
  // `varve runs | head` closes our output early; that is no fault.
  process.stdout.on('error', () => process.exit(EXIT_CODES.OK))
  const [first = '--help'] = argv
  if (Object.hasOwn(PARTS, first)) return runPart(first, argv.slice(1), entry)

  const interrupted = new AbortController()
  const interrupt = (): void => {
    if (interrupted.signal.aborted) process.exit(EXIT_CODES.INTERRUPTED)
    interrupted.abort(new Error('interrupted'))
  }
  process.on('SIGINT', interrupt)
  process.on('SIGTERM', interrupt)
  const session = createSession(loadCliConfig(process.env, process.cwd()), interrupted.signal)
  try {
    await buildProgram(session, version()).parseAsync(argv.length === 0 ? ['--help'] : [...argv], { from: 'user' })
    process.exitCode = session.exitCode
  } catch (error) {
    process.exitCode = failed(session, error, argv.includes('--json'))
  } finally {
    process.off('SIGINT', interrupt)
    process.off('SIGTERM', interrupt)
  }
}

function failed(session: Session, error: unknown, json: boolean): number {
  if (session.signal.aborted) return EXIT_CODES.INTERRUPTED
  // Commander has printed its own already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT_CODES.OK : EXIT_CODES.USAGE
  tell(error, json)
  return exitCodeOf(error)
}

/** `CODE: message` and what to do; with --json the same as one JSON line. Both on stderr: stdout is for results. */
function tell(error: unknown, json: boolean): void {
  const told = explain(error)
  if (json) process.stderr.write(`${JSON.stringify({ error: told })}\n`)
  else process.stderr.write(`${told.code}: ${told.message}\n${told.help === undefined ? '' : `  ${told.help}\n`}`)
}

/** A part goes on serving after its start (undefined), or says with which code to end. */
async function runPart(name: string, argv: readonly string[], entry: string): Promise<void> {
  try {
    const run = await loadPart(name)
    const code = await run(argv, entry)
    if (typeof code === 'number') process.exit(code)
  } catch (error) {
    const told = isUsage(error) ? new CliError('USAGE', error.message) : error
    tell(told, argv.includes('--json'))
    process.exit(exitCodeOf(told))
  }
}

/** What `parseArgs` throws about a wrong command line. */
function isUsage(error: unknown): error is Error {
  return error instanceof Error && String((error as NodeJS.ErrnoException).code).startsWith('ERR_PARSE_ARGS')
}

function version(): string {
  return (JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }).version
}
