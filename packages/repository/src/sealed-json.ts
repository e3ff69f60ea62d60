import { hash } from 'node:crypto'

/**
 * JSON objects that carry `sha256` over their own canonical form: every other member, keys sorted by code unit, no spaces. The file itself
 * may be formatted for people.
 */
export type JsonObject = Readonly<Record<string, unknown>>

export function sealJson(value: JsonObject): Buffer {
  return Buffer.from(`${JSON.stringify({ ...value, sha256: sumOf(value) }, null, 2)}\n`)
}

/** The object, without its `sha256`; a text saying what is wrong with it instead. */
export function openSealedJson(bytes: Uint8Array): JsonObject | string {
  let parsed: unknown
  try {
    parsed = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    return 'it is not JSON'
  }
  if (!isObject(parsed)) return 'it is not a JSON object'
  const { sha256, ...rest } = parsed
  try {
    return sha256 === sumOf(rest) ? rest : 'its sha256 does not match'
  } catch {
    return 'it is nested too deeply'
  }
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function sumOf(value: JsonObject): string {
  return hash('sha256', canonical(value), 'hex')
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(item => canonical(item ?? null)).join(',')}]`
  if (!isObject(value)) return JSON.stringify(value)
  const members = Object.keys(value)
    .filter(key => value[key] !== undefined)
    .sort()
    .map(key => `${JSON.stringify(key)}:${canonical(value[key])}`)
  return `{${members.join(',')}}`
}
