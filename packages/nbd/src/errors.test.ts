import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { errnoName, NBD_ERRORS, NbdError } from './errors.ts'

test('README.md lists every code with its retry, and no other', async () => {
  const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8')
  const documented = [...readme.matchAll(/^\| `(NBD_\w+)` *\| (yes|no) *\|/gm)].map(([, code, retry]) => [code, retry === 'yes'])
  expect(documented).toEqual(Object.entries(NBD_ERRORS).map(([code, { retryable }]) => [code, retryable]))
})

test('an unknown error value is EINVAL, as the specification says', () => {
  expect(errnoName(28)).toBe('ENOSPC')
  expect(errnoName(12_345)).toBe('EINVAL')
  expect(new NbdError('NBD_STALLED', '').retryable).toBe(true)
})
