import { VarveError } from '@varve/errors'
import { PlatformError } from '@varve/platform'
import { API_ERRORS, ApiError } from './errors.ts'

/** The body of every answer that is not a success. */
export interface ErrorBody {
  code: string
  message: string
  retryable: boolean
  help?: string
}

export interface ErrorAnswer {
  readonly status: number
  readonly body: ErrorBody
}

/** Fastify's own faults, by its code. */
const FASTIFY_CODES: Readonly<Record<string, keyof typeof API_ERRORS>> = {
  FST_ERR_VALIDATION: 'BAD_REQUEST',
  FST_ERR_CTP_BODY_TOO_LARGE: 'BODY_TOO_LARGE',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'MEDIA_TYPE_UNSUPPORTED',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'BAD_REQUEST',
  FST_ERR_CTP_INVALID_JSON_BODY: 'BAD_REQUEST',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'BAD_REQUEST',
  FST_ERR_BAD_URL: 'BAD_REQUEST',
  FST_ERR_NOT_FOUND: 'ROUTE_NOT_FOUND',
}

/**
 * Any thrown value as status and body.
 *
 * - 401 and 403 speak only of the caller's own token. When the *catalog* refuses us that is a fault of this installation (500); when
 *   a *platform* refuses the credentials that somebody gave, the input is wrong (422).
 * - Messages of 5xx may name inner addresses and are not sent; the log has them. Only a platform's message passes: its
 *   address came from the user, who needs to know what is wrong with it.
 */
export function errorAnswer(error: unknown): ErrorAnswer {
  if (error instanceof ApiError) return answer(error.status, error)
  if (error instanceof VarveError) {
    if (error instanceof PlatformError) return answer(error.code === 'PLATFORM_AUTH_FAILED' ? 422 : error.status, error)
    if (error.status === 401 || error.status === 403) return INTERNAL
    if (error.status < 500) return answer(error.status, error)
    if (error.status === 500) return INTERNAL
    return answer(error.status, error, error.facts.help || 'A part of Varve is not reachable.')
  }
  return fastifyAnswer(error) ?? INTERNAL
}

const INTERNAL: ErrorAnswer = {
  status: 500,
  body: { code: 'INTERNAL', message: 'internal error', retryable: true, help: API_ERRORS.INTERNAL.help },
}

function answer(status: number, error: VarveError, message: string = error.message): ErrorAnswer {
  const help = error.facts.help
  return {
    status,
    body: { code: error.code, message, retryable: error.retryable, ...(help === '' || help === message ? {} : { help }) },
  }
}

function fastifyAnswer(error: unknown): ErrorAnswer | undefined {
  if (!(error instanceof Error)) return undefined
  const { code, statusCode } = error as Error & { code?: unknown; statusCode?: unknown }
  const known = typeof code === 'string' ? FASTIFY_CODES[code] : undefined
  if (known !== undefined) return answer(API_ERRORS[known].status, new ApiError(known, error.message))
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    return answer(statusCode, new ApiError('BAD_REQUEST', error.message))
  }
  return undefined
}
