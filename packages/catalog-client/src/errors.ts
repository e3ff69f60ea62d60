import { type ErrorTable, VarveError } from '@varve/errors'

export const CATALOG_ERRORS = {
  NOT_FOUND: { retryable: false, status: 404, help: 'There is no such platform, VM, run, range, image or restore point.' },
  CONFLICT: { retryable: false, status: 409, help: 'The state does not allow it; `context.state` says which state that is.' },
  RUN_ENDED: { retryable: false, status: 409, help: 'The run is finishing or has ended. Whoever works on it must stop.' },
  PLAN_CHANGED: {
    retryable: true,
    status: 409,
    help: 'Two workers planned the same run, or one was interrupted and the second attempt found other changes. It is planned again.',
  },
  BAD_REQUEST: {
    retryable: false,
    status: 400,
    help: 'The request does not have the expected form, or names things that do not belong together.',
  },
  UNAUTHORIZED: {
    retryable: false,
    status: 401,
    help: 'The token of the internal API is missing or wrong. All services need the same VARVE_CATALOG_TOKEN.',
  },
  CATALOG_UNREACHABLE: {
    retryable: true,
    status: 503,
    help: 'The catalog service or its database cannot be reached, or answered in time. It was tried again several times.',
  },
  CATALOG_FAULT: { retryable: true, status: 500, help: 'The catalog failed in a way it does not know; its log has the details.' },
  CATALOG_SCHEMA_NEWER: {
    retryable: false,
    help: 'The database was used by a newer version of Varve. Run that version; going back is not possible.',
  },
} as const satisfies ErrorTable

export type CatalogErrorCode = keyof typeof CATALOG_ERRORS

export class CatalogError extends VarveError<CatalogErrorCode> {
  override readonly name = 'CatalogError'
  protected override readonly table = CATALOG_ERRORS
}

export function isCatalogErrorCode(code: unknown): code is CatalogErrorCode {
  return typeof code === 'string' && Object.hasOwn(CATALOG_ERRORS, code)
}
