import { redactError } from './plain-text.ts'

/**
 * The result, with every lost connection reported as ECONNREFUSED: BullMQ waits before it tries again only for that code. A socket file that
 * is gone (ENOENT), a reset or "terminating connection" (57P01) would make its workers spin.
 */
export async function marked<T>(result: Promise<T>): Promise<T> {
  try {
    return await result
  } catch (error) {
    if (!isConnectionLoss(error)) throw error
    const lost: Error & { code?: string } = new Error(`ECONNREFUSED: ${redactError(error).message}`, { cause: redactError(error) })
    lost.code = 'ECONNREFUSED'
    throw lost
  }
}

/** Did the connection break, rather than the statement fail? */
export function isConnectionLoss(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const code = (error as { code?: unknown }).code
  if (typeof code === 'string' && /^(E[A-Z]+|08...|57P0[1-3]|53300)$/.test(code)) return true
  return /connection (terminated|ended|timeout)|timeout exceeded when trying to connect|not queryable|connection error/i.test(error.message)
}
