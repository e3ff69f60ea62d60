import { PlatformError } from '../errors.ts'

/** An answer of the platform, taken out of its envelope. */
export type Answer =
  | { readonly ok: true; readonly data: unknown }
  | { readonly ok: false; readonly status: number; readonly code: string; readonly message: string; readonly data: unknown }

/**
 * Both generations of SCP's envelope: `{code: 0, data, message}` on paths dated before 20240725, `{errcode: "", data, message}` from then on.
 * A refusal may come with HTTP 200 and a code in the envelope.
 *
 * @throws PlatformError PLATFORM_ANSWER_INVALID when a success is not JSON in an envelope.
 */
export function openEnvelope(status: number, body: string): Answer {
  const success = status >= 200 && status < 300
  if (success && body.trim() === '') return { ok: true, data: undefined }
  let envelope: unknown
  try {
    envelope = JSON.parse(body)
  } catch {
    envelope = undefined
  }
  if (typeof envelope !== 'object' || envelope === null || Array.isArray(envelope)) {
    if (success) throw new PlatformError('PLATFORM_ANSWER_INVALID', 'the answer is not a JSON envelope', { status })
    return { ok: false, status, code: String(status), message: text(body), data: undefined }
  }
  const { code, errcode, data, message } = envelope as Record<string, unknown>
  const fine = code === 0 || errcode === '' || (code === undefined && errcode === undefined && data !== undefined)
  if (success && fine) return { ok: true, data }
  const named =
    typeof errcode === 'string' && errcode !== ''
      ? errcode
      : typeof code === 'number' || typeof code === 'string'
        ? String(code)
        : String(status)
  return { ok: false, status: success ? statusOf(named) : status, code: named.slice(0, 64), message: text(message), data }
}

/** The HTTP status that a code inside a 200 stands for. */
function statusOf(code: string): number {
  const status = Number(code)
  return Number.isInteger(status) && status >= 400 && status < 600 ? status : 400
}

/** Text of a peer that goes into our errors: one line, bounded. */
export function text(value: unknown): string {
  if (typeof value !== 'string') return ''
  return value
    .replace(/\p{Cc}+/gu, ' ')
    .trim()
    .slice(0, 500)
}
