import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { QUEUE_ERRORS } from './errors.ts'

test('the README names exactly the codes of the table', async () => {
  const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8')
  expect([...new Set(readme.match(/\bQUEUE_[A-Z_]+\b/g))].sort()).toEqual(Object.keys(QUEUE_ERRORS).sort())
})
