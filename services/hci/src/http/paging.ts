import Type, { type Static } from 'typebox'

/** Query of SCP's paged lists: `page_num` starts at 0, `page_size` is 100 at most and by default. */
export const PageQuery = Type.Object({
  page_num: Type.Optional(Type.Integer({ minimum: 0 })),
  page_size: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
  fields: Type.Optional(Type.String({ maxLength: 1000 })),
  sort: Type.Optional(Type.String({ maxLength: 100 })),
  order_by: Type.Optional(Type.Union([Type.Literal('ASC'), Type.Literal('DESC')])),
})
export type PageQuery = Static<typeof PageQuery>

export interface Page {
  readonly data: readonly unknown[]
  readonly total_size: number
  readonly page_num: number
  readonly page_size: number
  /** Text; empty on the last page. */
  readonly next_page_num: string
}

type Row = Readonly<Record<string, unknown>>

/** One page of `rows`, sorted by the field `sort`, only with the named `fields` where asked. */
export function pageOf(rows: readonly Row[], query: PageQuery): Page {
  const pageNum = query.page_num ?? 0
  const pageSize = query.page_size ?? 100
  const from = pageNum * pageSize
  const fields = query.fields?.split(',').map(field => field.trim())
  const data = sorted(rows, query)
    .slice(from, from + pageSize)
    .map(row => (fields === undefined ? row : Object.fromEntries(Object.entries(row).filter(([key]) => fields.includes(key)))))
  return {
    data,
    total_size: rows.length,
    page_num: pageNum,
    page_size: pageSize,
    next_page_num: from + pageSize < rows.length ? String(pageNum + 1) : '',
  }
}

function sorted(rows: readonly Row[], { sort, order_by }: PageQuery): readonly Row[] {
  if (sort === undefined) return rows
  const sign = order_by === 'DESC' ? -1 : 1
  const value = (row: Row): string | number => {
    const field = row[sort]
    return typeof field === 'number' ? field : String(field ?? '')
  }
  return [...rows].sort((a, b) => {
    const [x, y] = [value(a), value(b)]
    return x < y ? -sign : x > y ? sign : 0
  })
}
