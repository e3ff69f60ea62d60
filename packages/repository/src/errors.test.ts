import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { REPOSITORY_ERRORS } from './errors.ts'

test('the README lists every code, and whether a retry helps', async () => {
  const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8')
  const listed = [...readme.matchAll(/^\| `([A-Z_]+)` +\| (yes|no) +\|/gm)].map(([, code, retry]) => [code, retry === 'yes'])
  expect(listed).toEqual(Object.entries(REPOSITORY_ERRORS).map(([code, facts]) => [code, facts.retryable]))
})
