import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { CLI_ERRORS, CliError, exitCodeOf, RefusedError } from './errors.ts'

const README = readFileSync(new URL('../README.md', import.meta.url), 'utf8')

test('the README lists every error with its exit code, and no other', () => {
  const documented = [...README.matchAll(/^\| `([A-Z_]+)` +\| (\d+) +\|/gm)].map(([, code, exit]) => [code, Number(exit)])
  const codes = Object.keys(CLI_ERRORS) as (keyof typeof CLI_ERRORS)[]
  expect(documented.sort()).toEqual(codes.map(code => [code, exitCodeOf(new CliError(code, ''))]).sort())
})

test.each([
  [401, 4],
  [404, 3],
  [400, 2],
  [409, 1],
  [422, 1],
  [500, 1],
  [503, 1],
])('HTTP %i of the API is exit code %i', (status, exit) => {
  expect(exitCodeOf(new RefusedError(status, { code: 'X', message: '', retryable: false }))).toBe(exit)
})
