import { expect, test } from 'vitest'
import { pageOf } from './paging.ts'

const rows = Array.from({ length: 5 }, (_, i) => ({ id: `vm${i}`, size: 10 - i, name: `n${i}` }))

test('pages cover the rows once, the last names no next page', () => {
  const seen: unknown[] = []
  let page = 0
  for (;;) {
    const answer = pageOf(rows, { page_num: page, page_size: 2 })
    expect(answer).toMatchObject({ total_size: 5, page_num: page, page_size: 2 })
    seen.push(...answer.data)
    if (answer.next_page_num === '') break
    page = Number(answer.next_page_num)
  }
  expect(seen).toEqual(rows)
})

test('a full last page names no next page, a page past the end is empty', () => {
  expect(pageOf(rows.slice(0, 4), { page_num: 1, page_size: 2 }).next_page_num).toBe('')
  expect(pageOf(rows, { page_num: 9 })).toMatchObject({ data: [], next_page_num: '', total_size: 5 })
})

test('sorts numbers as numbers, both ways, and picks fields', () => {
  const { data } = pageOf(rows, { sort: 'size', order_by: 'ASC', fields: 'id, size', page_size: 2 })
  expect(data).toEqual([
    { id: 'vm4', size: 6 },
    { id: 'vm3', size: 7 },
  ])
  expect(pageOf(rows, { sort: 'size', order_by: 'DESC', fields: 'id' }).data[0]).toEqual({ id: 'vm0' })
})
