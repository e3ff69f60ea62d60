import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { BLOCK_MAP_ERRORS } from './errors.ts'

test('the README lists every code', async () => {
  const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8')
  expect([...readme.matchAll(/^\| `([A-Z_]+)` +\|/gm)].map(([, code]) => code)).toEqual(Object.keys(BLOCK_MAP_ERRORS))
})
