import type { FastifySchemaCompiler } from 'fastify'
import type { TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { Value } from 'typebox/value'

/**
 * Check what came in against its schema. Query strings, headers and path are text, so they are converted and get defaults; a body is
 * JSON and must be right as it is. Nothing is removed: an unknown field is a fault of the caller, who thinks that it does something.
 */
export const requestCheck: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const compiled = Compile(schema)
  return value => {
    const given = httpPart === 'body' ? value : Value.Convert(schema, Value.Default(schema, value ?? {}))
    return compiled.Check(given) ? { value: given } : { error: compiled.Errors(given) as never }
  }
}
