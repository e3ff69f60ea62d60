import { Type } from '@varve/runtime'

export const ErrorSchema = Type.Object(
  {
    code: Type.String({ description: 'Stable code, for programs.', examples: ['CONFLICT'] }),
    message: Type.String({ description: 'What happened, for people.', examples: ['VM files-1 has a run under way'] }),
    retryable: Type.Boolean({ description: 'Can the same call succeed later without anybody changing anything?' }),
    help: Type.Optional(Type.String({ description: 'What to do about it.' })),
  },
  { $id: 'Error', title: 'Error', description: 'Every answer that is not a success.' },
)

const ref = Type.Unsafe<{ code: string; message: string; retryable: boolean; help?: string }>({ $ref: 'Error#' })

/** The error answers of a route: always 400, 401 and 500; more by number. */
export function errorAnswers(more: Readonly<Record<number, string>> = {}) {
  const all: Record<number, string> = { 400: 'The request does not fit the schema.', 401: 'No token, or a wrong one.', ...more }
  return Object.fromEntries(Object.entries(all).map(([status, description]) => [status, { ...ref, description }])) as Record<
    string,
    typeof ref
  >
}
