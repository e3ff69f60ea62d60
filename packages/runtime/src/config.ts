import Type, { type Static, type TObject } from 'typebox'
import { Value } from 'typebox/value'
import { RuntimeError } from './errors.ts'

export type { Static }
export { Type }

const SECRET = /(TOKEN|SECRET|PASSWORD|KEY)$/

/**
 * Read a process's settings from its environment, once, through one schema. Keys carry the prefix `VARVE_`; the schema
 * names them in full. Unknown keys are ignored, empty ones count as absent.
 *
 * @throws RuntimeError CONFIG_INVALID naming every fault at the same time.
 */
export function loadConfig<Schema extends TObject>(schema: Schema, env: NodeJS.ProcessEnv): Readonly<Static<Schema>> {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''))
  const value = Value.Clean(schema, Value.Convert(schema, Value.Default(schema, given)))
  if (!Value.Check(schema, value)) {
    const faults = [...Value.Errors(schema, value)].map(e => `  ${e.instancePath.slice(1) || 'settings'}: ${e.message}`)
    throw new RuntimeError('CONFIG_INVALID', `invalid settings:\n${faults.join('\n')}`)
  }
  return Object.freeze(value) as Readonly<Static<Schema>>
}

/** Settings as text for `--show-config`: one `KEY=value` a line, secrets and passwords inside URLs hidden. */
export function showConfig(config: Readonly<Record<string, unknown>>): string {
  return Object.entries(config)
    .map(([key, value]) => `${key}=${SECRET.test(key) ? '(hidden)' : String(value).replace(/(:\/\/[^:/@]*:)[^@]*@/, '$1(hidden)@')}`)
    .join('\n')
}
