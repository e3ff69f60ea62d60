/**
 * Text that both servers can keep: no NUL (Postgres' jsonb refuses it), no lone surrogate (neither), at most `limit` characters.
 */
export function plainText(text: string, limit = Number.POSITIVE_INFINITY): string {
  const cut = text.length > limit ? `${text.slice(0, limit - 1)}…` : text
  return Buffer.from(cut, 'utf8').toString('utf8').replaceAll('\u0000', '')
}

/**
 * A driver's error as a small one of our own: ioredis hangs the whole Lua script and its arguments on `command`, pg the
 * parameters of the query. Only message and code go on.
 */
export function redactError(error: unknown): Error & { code?: string } {
  const message = plainText(error instanceof Error ? error.message || error.name : String(error), 500)
  const redacted: Error & { code?: string } = new Error(message)
  delete redacted.stack
  const code = (error as { code?: unknown } | undefined)?.code
  if (typeof code === 'string') redacted.code = code
  // A connection attempt to several addresses fails as an AggregateError without a message of its own.
  if (error instanceof AggregateError && error.errors.length > 0 && error.message === '') {
    return redactError(error.errors[0])
  }
  return redacted
}
