import { VarveError } from '@varve/errors'

/**
 * The two generations of SCP's envelope: `{code: 0, data, message}` on paths dated before 20240725, `{errcode: "", data, message}` from
 * then on. Undated paths (`/janus/authenticate`) are of the old generation, ours (`/varve…`) of the new one.
 */
export type Generation = 'code' | 'errcode'

const FIRST_ERRCODE_DATE = 20240725

export function generationOf(path: string): Generation {
  const dated = /^\/janus\/(\d{8})(\/|$)/.exec(path)
  if (dated) return Number(dated[1]) >= FIRST_ERRCODE_DATE ? 'errcode' : 'code'
  return path.startsWith('/varve') ? 'errcode' : 'code'
}

export function successEnvelope(path: string, data: unknown): Record<string, unknown> {
  return generationOf(path) === 'code' ? { code: 0, data, message: '' } : { errcode: '', data, message: '' }
}

/** `code`/`errcode` is the HTTP status; our own error code stands in `data.error` (our choice: janus's catalogue is not public). */
export function errorEnvelope(path: string, status: number, error: string, message: string): Record<string, unknown> {
  const data = { error }
  return generationOf(path) === 'code' ? { code: status, data, message } : { errcode: String(status), data, message }
}

/** Statuses of datastore codes whose table gives none. */
const STATUS: Readonly<Record<string, number>> = {
  VM_NOT_FOUND: 404,
  DISK_NOT_FOUND: 404,
  SNAPSHOT_NOT_FOUND: 404,
  NAME_TAKEN: 409,
  DISK_SIZE_INVALID: 400,
  VM_NOT_OFF: 409,
  CBT_EXPIRED: 409,
  CBT_DISABLED: 409,
  CHECKPOINT_UNKNOWN: 409,
}

/** What a thrown value becomes on the wire. Faults of ours say nothing of the inside. */
export function errorAnswer(error: unknown): { readonly status: number; readonly code: string; readonly message: string } {
  if (error instanceof VarveError) {
    return { status: error.facts.status ?? STATUS[error.code] ?? 500, code: error.code, message: error.message }
  }
  const { statusCode, message, code } = error as { statusCode?: unknown; message?: unknown; code?: unknown }
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    return {
      status: statusCode,
      code: code === 'FST_ERR_CTP_BODY_TOO_LARGE' ? 'BODY_TOO_LARGE' : 'REQUEST_INVALID',
      message: String(message),
    }
  }
  return { status: 500, code: 'INTERNAL', message: 'internal error' }
}
