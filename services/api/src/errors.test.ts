import { readFileSync } from 'node:fs'
import { CatalogError } from '@varve/catalog-client'
import { PlatformError } from '@varve/platform'
import { expect, test } from 'vitest'
import { errorAnswer } from './error-answer.ts'
import { API_ERRORS } from './errors.ts'

const README = readFileSync(new URL('../README.md', import.meta.url), 'utf8')

test('the README lists every error with its status, and no other', () => {
  const documented = [...README.matchAll(/^\| `([A-Z_]+)` +\| (\d+) +\|/gm)].map(([, code, status]) => [code, Number(status)])
  expect(documented.sort()).toEqual(
    Object.entries(API_ERRORS)
      .map(([code, { status }]) => [code, status])
      .sort(),
  )
})

test('a refusal by the catalog is a fault of this installation, one by a platform is a wrong input', () => {
  expect(errorAnswer(new CatalogError('UNAUTHORIZED', 'secret'))).toMatchObject({ status: 500, body: { code: 'INTERNAL' } })
  expect(errorAnswer(new PlatformError('PLATFORM_AUTH_FAILED', 'no'))).toMatchObject({
    status: 422,
    body: { code: 'PLATFORM_AUTH_FAILED' },
  })
})

test('an inner address is not told, the address that the user gave is', () => {
  const catalog = errorAnswer(new CatalogError('CATALOG_UNREACHABLE', 'http://10.0.0.7:7410 is away'))
  expect(catalog).toMatchObject({ status: 503, body: { code: 'CATALOG_UNREACHABLE', retryable: true } })
  expect(catalog.body.message).not.toMatch(/10\.0/)
  expect(errorAnswer(new PlatformError('PLATFORM_UNREACHABLE', 'http://scp:1 is away')).body.message).toBe('http://scp:1 is away')
})

test('what is not an error at all is hidden like any unknown fault', () => {
  for (const thrown of ['text', null, { statusCode: 200 }, Object.assign(new Error('x'), { statusCode: 302 })]) {
    expect(errorAnswer(thrown)).toMatchObject({ status: 500, body: { code: 'INTERNAL', message: 'internal error' } })
  }
})
