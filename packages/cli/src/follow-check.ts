import { setTimeout } from 'node:timers/promises'
import type { ApiClient } from './api-client.ts'
import type { CheckInfo } from './api-types.ts'
import { CliError } from './errors.ts'
import { progressOfCheck } from './finding-words.ts'

/** The api may restart meanwhile: that long it is tried again. */
const PATIENCE_MS = 30_000
const PAUSE_MS = 500
/** A check that nobody takes up for so long: is there a maintenance service at all? */
const UNTAKEN_MS = 15_000

/**
 * Wait for a check to be done. `tell` gets a line whenever something is new.
 *
 * @throws CliError API_UNREACHABLE; RefusedError; the signal's reason
 */
export async function followCheck(api: ApiClient, id: string, tell: (line: string) => void, signal: AbortSignal): Promise<CheckInfo> {
  const began = Date.now()
  let heardAt = began
  let told = ''
  for (let warned = false; ; await setTimeout(PAUSE_MS, undefined, { signal })) {
    try {
      const check = await api.get<CheckInfo>(`/v1/checks/${id}`)
      heardAt = Date.now()
      if (check.endedAt !== null) return check
      const line = progressOfCheck(check)
      if (line !== told) tell(line)
      told = line
      if (check.state === 'queued' && !warned && Date.now() - began > UNTAKEN_MS) {
        tell('No maintenance service takes it up. Is one running?')
        warned = true
      }
    } catch (error) {
      if (!(error instanceof CliError && error.code === 'API_UNREACHABLE') || Date.now() - heardAt > PATIENCE_MS) throw error
    }
  }
}
