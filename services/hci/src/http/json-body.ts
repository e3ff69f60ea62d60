import { HciError } from '../errors.ts'

const DEEPEST = 64

/**
 * The body as JSON, or REQUEST_INVALID. An empty body is `undefined`. Nesting is bounded before parsing, and `__proto__` is refused, so that
 * what is merged into stored configurations later can't hurt.
 */
export function parseJsonBody(text: string): unknown {
  if (text.trim() === '') return undefined
  let depth = 0
  let quoted = false
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (quoted) {
      if (c === 0x5c) i += 1
      else if (c === 0x22) quoted = false
    } else if (c === 0x22) quoted = true
    else if (c === 0x7b || c === 0x5b) {
      depth += 1
      if (depth > DEEPEST) throw new HciError('REQUEST_INVALID', `the body is nested deeper than ${DEEPEST}`)
    } else if (c === 0x7d || c === 0x5d) depth -= 1
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new HciError('REQUEST_INVALID', 'the body is not JSON', {}, { cause })
  }
  // Escaped spellings of the key are found too, as this looks at the parsed value.
  if (holdsProto(value)) throw new HciError('REQUEST_INVALID', 'the body has a key __proto__')
  return value
}

function holdsProto(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (Array.isArray(value)) return value.some(holdsProto)
  return Object.hasOwn(value, '__proto__') || Object.values(value).some(holdsProto)
}
