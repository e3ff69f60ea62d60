import { PlatformError, type PlatformErrorCode } from '../errors.ts'

/** What the platform said no to, so that a bare 404 or 409 gets the right code. */
export interface Asked {
  /** For messages: `create snapshot`. */
  readonly what: string
  /** A 404 that doesn't say more means this. */
  readonly missing?: PlatformErrorCode
  /** A 409 that doesn't say more means this. */
  readonly conflict?: PlatformErrorCode
}

/**
 * Texts that are documented or were seen, and the error names of the reference platform (`data.error` of a refusal, `error` of a failed task);
 * janus's catalogue of codes is not public.
 */
const SIGNS: readonly (readonly [PlatformErrorCode, RegExp])[] = [
  ['CBT_EXPIRED', /CBT has expired|\bCBT_EXPIRED\b|\bCHECKPOINT_UNKNOWN\b/i],
  ['CBT_DISABLED', /\bCBT_DISABLED\b|CBT (is )?(not enabled|disabled|off)\b/i],
  ['LEASE_OCCUPIED', /\bLEASE_OCCUPIED\b|\boccupied\b/i],
  ['LEASE_LOST', /\bLEASE_NOT_FOUND\b/],
  ['VM_BUSY', /\b(VM_BUSY|VM_LEASED|SNAPSHOT_IN_USE)\b|operation.{0,30} in progress|image busy/i],
  ['VM_NOT_OFF', /\bVM_NOT_OFF\b|not powered off|must be powered off/i],
  ['VM_NOT_FOUND', /\bVM_NOT_FOUND\b/],
  ['SNAPSHOT_NOT_FOUND', /\bSNAPSHOT_NOT_FOUND\b/],
  ['PLATFORM_REFUSED', /\bDISK_NOT_FOUND\b/],
]

/** Our code for a text of the platform, where it is known. */
export function codeOfText(...texts: readonly string[]): PlatformErrorCode | undefined {
  return SIGNS.find(([, sign]) => texts.some(t => sign.test(t)))?.[0]
}

/** A refusal of the platform as our error. */
export function refusal(
  asked: Asked,
  { status, code, message, data }: { readonly status: number; readonly code: string; readonly message: string; readonly data: unknown },
): PlatformError {
  const named = (data as { error?: unknown } | null | undefined)?.error
  const error = typeof named === 'string' ? named.slice(0, 64) : ''
  return new PlatformError(codeOf(asked, status, error, message), `${asked.what}: ${message || `the platform answered ${status}`}`, {
    status,
    platformCode: error || code,
  })
}

function codeOf(asked: Asked, status: number, error: string, message: string): PlatformErrorCode {
  if (status === 401 || status === 403) return 'PLATFORM_AUTH_FAILED'
  if (status === 429) return 'PLATFORM_THROTTLED'
  if (status >= 500) return codeOfText(error, message) ?? 'PLATFORM_UNREACHABLE'
  const known = codeOfText(error, message)
  if (known !== undefined) return known
  if (status === 404 && asked.missing !== undefined) return asked.missing
  if (status === 409 && asked.conflict !== undefined) return asked.conflict
  return 'PLATFORM_REFUSED'
}
