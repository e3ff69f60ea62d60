import { setTimeout } from 'node:timers/promises'
import type { ApiClient } from './api-client.ts'
import type { RunInfo } from './api-types.ts'
import { CliError } from './errors.ts'
import { EXIT_CODES, type ExitCode } from './exit-codes.ts'

/** What is shown while runs go on. */
export interface ProgressView {
  update(run: RunInfo): void
  done(): void
}

/** The api may restart while a run goes on: that long it is tried again before giving up. */
const PATIENCE_MS = 30_000

/**
 * Follow a run until it has ended, through breaks of the connection: each stream begins with the present state, so nothing is missed.
 *
 * @throws CliError API_UNREACHABLE after 30 s without any answer; RefusedError; the signal's reason
 */
export async function followRun(api: ApiClient, runId: string, update: (run: RunInfo) => void, signal: AbortSignal): Promise<RunInfo> {
  let heardAt = Date.now()
  for (;;) {
    try {
      for await (const { event, data } of api.events(`/v1/runs/${runId}/events`, signal)) {
        heardAt = Date.now()
        if (event !== 'run' && event !== 'end') continue
        const run = JSON.parse(data) as RunInfo
        update(run)
        if (event === 'end') return run
      }
    } catch (error) {
      if (!(error instanceof CliError && error.code === 'API_UNREACHABLE') || Date.now() - heardAt > PATIENCE_MS) throw error
    }
    await setTimeout(500, undefined, { signal })
  }
}

/** The exit code of one run that ended. */
export function exitCodeOfRun(run: RunInfo): ExitCode {
  if (run.state === 'succeeded') return EXIT_CODES.OK
  return run.state === 'succeeded-with-damage' ? EXIT_CODES.DAMAGE : EXIT_CODES.FAILED
}

/** Of several runs the worst counts: failed before damaged before fine. */
export function worstExitCode(codes: readonly ExitCode[]): ExitCode {
  if (codes.includes(EXIT_CODES.FAILED)) return EXIT_CODES.FAILED
  return codes.find(code => code !== EXIT_CODES.OK) ?? EXIT_CODES.OK
}
