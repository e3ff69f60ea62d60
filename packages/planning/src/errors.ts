import { type ErrorTable, VarveError } from '@varve/errors'

export const PLANNING_ERRORS = {
  EXTENTS_INVALID: {
    retryable: false,
    help: 'Extents were to be planned that overlap or are not in order. The platform driver checks what the platform answers, so this is a fault in Varve.',
  },
} as const satisfies ErrorTable

export class PlanningError extends VarveError<keyof typeof PLANNING_ERRORS> {
  override readonly name = 'PlanningError'
  protected override readonly table = PLANNING_ERRORS
}
