import type { Static, TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { PlatformError } from '../errors.ts'

/** A check of one kind of answer. Unknown fields are let through, missing or wrong ones are PLATFORM_ANSWER_INVALID. */
export type AnswerCheck<T> = (what: string, data: unknown) => T

/** Compiled once, when the module is loaded. */
export function answerCheck<Schema extends TSchema>(schema: Schema): AnswerCheck<Static<Schema>> {
  const compiled = Compile(schema)
  return (what, data) => {
    if (compiled.Check(data)) return data as Static<Schema>
    const fault = compiled.Errors(data)[0]
    throw new PlatformError(
      'PLATFORM_ANSWER_INVALID',
      `${what}: the answer's ${fault?.instancePath || 'data'} ${fault?.message ?? 'is wrong'}`,
    )
  }
}
