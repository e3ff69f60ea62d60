import type { Catalog } from '@varve/catalog-client'
import type { PlatformDriver } from '@varve/platform'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type OpenPlatform, Platforms } from './platforms.ts'

type OnPressure = NonNullable<NonNullable<Parameters<OpenPlatform>[1]>['onPressure']>

let reported: string[]
let press: Record<string, OnPressure>
let platforms: Platforms

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  reported = []
  press = {}
  const catalog = {
    getPlatform: async (id: string) => ({ id, kind: 'scp', url: '', credentials: { username: '', password: '' } }),
    reportPressure: async (id: string, reason: string) => {
      reported.push(`${id} ${reason}`)
      throw new Error('the catalog is away')
    },
  } as unknown as Catalog
  platforms = new Platforms(catalog, ({ id }, options) => {
    press[id] = options!.onPressure!
    return { close: async () => {} } as PlatformDriver
  })
  await platforms.get('a')
  await platforms.get('b')
})
afterEach(async () => {
  vi.useRealTimers()
  await platforms.close()
})

test('pressure is reported once in five seconds, each platform by itself, whatever becomes of the report', () => {
  for (let i = 0; i < 10; i++) press.a!('throttled')
  press.b!('slow')
  expect(reported).toEqual(['a throttled', 'b slow'])
  vi.advanceTimersByTime(4999)
  press.a!('slow')
  expect(reported).toHaveLength(2)
  vi.advanceTimersByTime(1)
  press.a!('slow')
  expect(reported.at(-1)).toBe('a slow')
})
