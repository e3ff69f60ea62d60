import { errorReport } from '@varve/errors'
import type { Logger } from './log.ts'
import { sleep } from './sleep.ts'

const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 5000
/** A dependency that stays away is named again this often: somebody who looks at the log now should see why nothing happens. */
const SAY_AGAIN_MS = 5 * 60_000

export interface WaitOptions {
  readonly log: Logger
  /** Gives up waiting. */
  readonly signal?: AbortSignal
  /** May another attempt succeed? Default: the error says of itself that it is retryable. */
  readonly isPassing?: (error: unknown) => boolean
}

/**
 * Open something that may not be there yet: for ever, with pauses that grow to five seconds, saying once that it is waited for and once that it came.
 * What waiting does not help (a wrong password, a newer format) is thrown at once.
 */
export async function waitFor<Result>(name: string, open: () => Promise<Result>, options: WaitOptions): Promise<Result> {
  const { log, signal, isPassing = error => errorReport(error).retryable } = options
  const began = performance.now()
  let saidAt: number | undefined
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    try {
      const result = await open()
      if (saidAt !== undefined) log.info({ dependency: name, ms: Math.round(performance.now() - began) }, `the ${name} is there`)
      return result
    } catch (error) {
      if (!isPassing(error)) throw error
      if (saidAt === undefined || performance.now() - saidAt > SAY_AGAIN_MS) {
        log.warn({ dependency: name, ...errorReport(error) }, `waiting for the ${name}`)
        saidAt = performance.now()
      }
    }
    await sleep(pause, signal)
  }
}
