import { expect, test } from 'vitest'
import { loadConfig, showConfig, Type } from './index.ts'

const Schema = Type.Object({
  VARVE_URL: Type.String({ minLength: 1 }),
  VARVE_LANES: Type.Integer({ default: 2, minimum: 1, maximum: 8 }),
  VARVE_LEVEL: Type.Enum(['info', 'warn'], { default: 'info' }),
  VARVE_API_TOKEN: Type.String({ default: 'hidden' }),
})

test('defaults are filled in, numbers are numbers, other variables and empty ones do not count', () => {
  const config = loadConfig(Schema, { VARVE_URL: 'http://a', VARVE_LANES: '4', VARVE_LEVEL: '', HOME: '/root' })
  expect(config).toEqual({ VARVE_URL: 'http://a', VARVE_LANES: 4, VARVE_LEVEL: 'info', VARVE_API_TOKEN: 'hidden' })
})

test('every fault is named at the same time', () => {
  try {
    loadConfig(Schema, { VARVE_LANES: 'many', VARVE_LEVEL: 'loud' })
    expect.unreachable()
  } catch (error) {
    expect(error).toMatchObject({ code: 'CONFIG_INVALID' })
    const { message } = error as Error
    for (const key of ['VARVE_URL', 'VARVE_LANES', 'VARVE_LEVEL']) expect(message).toContain(key)
  }
})

test('settings are shown without secrets', () => {
  const text = showConfig({ VARVE_API_TOKEN: 'abc', VARVE_DATABASE_URL: 'postgres://varve:s3cret@db:5432/varve', VARVE_PORT: 7300 })
  expect(text).toBe('VARVE_API_TOKEN=(hidden)\nVARVE_DATABASE_URL=postgres://varve:(hidden)@db:5432/varve\nVARVE_PORT=7300')
})
