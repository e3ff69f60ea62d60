import { type ErrorTable, VarveError } from '@varve/errors'

export const RUNTIME_ERRORS = {
  CONFIG_INVALID: { retryable: false, help: 'A setting is missing or wrong; the message names every one. Correct them and start again.' },
} as const satisfies ErrorTable

export class RuntimeError extends VarveError<keyof typeof RUNTIME_ERRORS> {
  override readonly name = 'RuntimeError'
  protected override readonly table = RUNTIME_ERRORS
}
