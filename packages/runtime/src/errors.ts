import { type ErrorTable, VarveError } from '@varve/errors'

export const RUNTIME_ERRORS = {
  CONFIG_INVALID: { retryable: false, help: 'A setting is missing or wrong; the message names every one. Correct them and start again.' },
  LISTEN_FAILED: { retryable: false, help: 'The address is taken or not of this machine: stop the program that has it, or set another.' },
  CHECK_UNKNOWN: { retryable: false, help: 'A mistake in Varve: a readiness check was set for something that was never named.' },
} as const satisfies ErrorTable

export class RuntimeError extends VarveError<keyof typeof RUNTIME_ERRORS> {
  override readonly name = 'RuntimeError'
  protected override readonly table = RUNTIME_ERRORS
}
