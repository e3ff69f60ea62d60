import { type ErrorTable, VarveError } from '@varve/errors'

/** What the API itself refuses. Errors of the catalog and of platforms pass through with their own codes. */
export const API_ERRORS = {
  BAD_REQUEST: { retryable: false, status: 400, help: 'The request does not fit the schema; the message names the field. See /docs.' },
  UNAUTHORIZED: { retryable: false, status: 401, help: 'Send the token of this Varve as `Authorization: Bearer …`.' },
  ROUTE_NOT_FOUND: { retryable: false, status: 404, help: 'There is no such path; /docs lists what there is.' },
  BODY_TOO_LARGE: { retryable: false, status: 413, help: 'Request bodies are limited to 64 KiB.' },
  MEDIA_TYPE_UNSUPPORTED: { retryable: false, status: 415, help: 'Send JSON with `Content-Type: application/json`.' },
  PLATFORM_ADDRESS_INVALID: {
    retryable: false,
    status: 422,
    help: 'The address of a platform is http:// or https:// with host and port, without user name, query or fragment.',
  },
  TOO_MANY_STREAMS: {
    retryable: true,
    status: 503,
    help: 'This process follows as many event streams as it may; close some or start another api.',
  },
  INTERNAL: { retryable: true, status: 500, help: 'A fault inside Varve. The log of the api has the details under this request id.' },
} as const satisfies ErrorTable

export class ApiError extends VarveError<keyof typeof API_ERRORS> {
  override readonly name = 'ApiError'
  protected override readonly table = API_ERRORS
}
