import { pageEnd } from '@varve/catalog-client'
import { type Static, Type } from '@varve/runtime'

export const Id = Type.String({ format: 'uuid', description: 'UUID', examples: ['0f8b6c1e-7d7c-4f4e-9a55-1f2f0c9b8a11'] })
export const IdParams = Type.Object({ id: Id }, { additionalProperties: false })

/** A text or nothing; JSON null, never absent. */
export function nullable<T extends Parameters<typeof Type.Union>[0][number]>(schema: T) {
  return Type.Union([schema, Type.Null()])
}

export const Time = Type.String({ description: 'ISO 8601, UTC', examples: ['2026-11-22T21:04:05.000Z'] })
export const Bytes = Type.Number({ description: 'bytes' })

export const IdempotencyHeaders = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 200,
      pattern: '^[\\x21-\\x7e]+$',
      description:
        'Any unique text. Repeating the request with the same key gives the same run instead of a second one. A key is remembered for 30 days.',
      examples: ['nightly-2026-11-22-files-1'],
    }),
  ),
})

/** A schema that was added to the app under its `$id`, by reference, so that the OpenAPI document names it. */
export function refTo<S extends Parameters<typeof Type.Array>[0]>(schema: S) {
  return Type.Unsafe<Static<S>>({ $ref: `${(schema as { $id?: string }).$id}#` })
}

/** A whole list. */
export function listOf<S extends Parameters<typeof Type.Array>[0]>(schema: S) {
  return Type.Object({ items: Type.Array(refTo(schema)) })
}

/** Part of a list that has no end worth waiting for. */
export function pageOf<S extends Parameters<typeof Type.Array>[0]>(schema: S) {
  return Type.Object({
    items: Type.Array(refTo(schema)),
    next: nullable(Type.String({ description: 'Give it as `after` for the items behind these; null: there are no more.' })),
  })
}

/** What asks for a page: its size, and where it begins. */
export function pageQuery(limit: number, most: number) {
  return {
    limit: Type.Integer({ minimum: 1, maximum: most, default: limit }),
    after: Type.Optional(Type.String({ minLength: 1, maxLength: 8192, description: '`next` of the page before' })),
  }
}

/** One page as an answer. */
export function pageAnswer<Item extends Parameters<typeof pageEnd>[0][number], Answer>(
  items: readonly Item[],
  limit: number,
  answer: (item: Item) => Answer,
): { items: Answer[]; next: string | null } {
  return { items: items.map(answer), next: pageEnd(items, limit) }
}
