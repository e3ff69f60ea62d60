import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { RepositoryError, type RepositoryErrorCode } from '../errors.ts'
import type { Store } from '../store.ts'

/**
 * The promises of `Store`, for every implementation: `testStore('MemoryStore', async () => new MemoryStore())`. `make` is called once; the
 * store may hold other objects already, outside the random prefix that is used here. When it answers a text, the tests are
 * skipped with that reason.
 */
export function testStore(name: string, make: () => Promise<Store | string>): void {
  describe(`${name} keeps the promises of a store`, () => {
    const prefix = `t${randomBytes(6).toString('hex')}/`
    let made: Store | string
    beforeAll(async () => {
      made = await make()
    })
    afterAll(async () => {
      if (typeof made !== 'string') await made?.close()
    })
    const check = (title: string, run: (store: Store) => Promise<void>): void => {
      test(title, async ctx => {
        if (typeof made === 'string') return ctx.skip(made)
        await run(made)
      })
    }

    check('gives bytes in a buffer of the caller that is long enough, and touches nothing behind them', async store => {
      const bytes = randomBytes(200_000)
      const key = `${prefix}packs/ab/into`
      await store.put(key, bytes)
      const into = Buffer.alloc(150_000, 7)
      const part = await store.get(key, { offset: 1000, length: 100_000 }, { into })
      expect(Buffer.compare(part, bytes.subarray(1000, 101_000))).toBe(0)
      expect(into.subarray(100_000).every(byte => byte === 7)).toBe(true)
      const whole = await store.get(key, undefined, { into })
      expect(Buffer.compare(whole, bytes)).toBe(0)
      await fails('RANGE_INVALID', store.get(key, { offset: 199_999, length: 2 }, { into }))
    })

    check('gives back what was put, whole and in parts', async store => {
      const bytes = randomBytes(300_000)
      await store.put(`${prefix}packs/ab/one`, bytes)
      expect(Buffer.compare(await store.get(`${prefix}packs/ab/one`), bytes)).toBe(0)
      for (const [offset, length] of [
        [0, 1],
        [1, 65_536],
        [299_999, 1],
        [0, 300_000],
      ] as const) {
        const part = await store.get(`${prefix}packs/ab/one`, { offset, length })
        expect(Buffer.compare(part, bytes.subarray(offset, offset + length))).toBe(0)
      }
    })

    check('keeps nothing of the caller: later changes of the buffer do not show', async store => {
      const bytes = Buffer.from('before')
      await store.put(`${prefix}copied`, bytes)
      bytes.fill('x')
      expect(Buffer.from(await store.get(`${prefix}copied`)).toString()).toBe('before')
    })

    check('stores an empty object', async store => {
      await store.put(`${prefix}empty`, new Uint8Array())
      expect((await store.get(`${prefix}empty`)).length).toBe(0)
    })

    check('replaces an object', async store => {
      await store.put(`${prefix}twice`, Buffer.from('a longer first version'))
      await store.put(`${prefix}twice`, Buffer.from('second'))
      expect(Buffer.from(await store.get(`${prefix}twice`)).toString()).toBe('second')
    })

    check('is never partly there: readers see the old object or the new one, whole', async store => {
      const length = 2_000_000
      await store.put(`${prefix}whole`, Buffer.alloc(length, 1))
      let writing = true
      const reader = async (): Promise<void> => {
        while (writing) {
          const bytes = Buffer.from(await store.get(`${prefix}whole`))
          expect(bytes.equals(Buffer.alloc(length, bytes[0]))).toBe(true)
        }
      }
      const readers = [reader(), reader()]
      try {
        for (let i = 2; i < 8; i++) await store.put(`${prefix}whole`, Buffer.alloc(length, i))
      } finally {
        writing = false
      }
      await Promise.all(readers)
      expect((await store.get(`${prefix}whole`))[0]).toBe(7)
    })

    check('answers OBJECT_NOT_FOUND for what is not there', async store => {
      await fails('OBJECT_NOT_FOUND', store.get(`${prefix}absent`))
      await fails('OBJECT_NOT_FOUND', store.get(`${prefix}absent/below`, { offset: 0, length: 1 }))
    })

    check('answers RANGE_INVALID for a range that begins or ends past the object', async store => {
      await store.put(`${prefix}short`, Buffer.alloc(100))
      await fails('RANGE_INVALID', store.get(`${prefix}short`, { offset: 50, length: 51 }))
      await fails('RANGE_INVALID', store.get(`${prefix}short`, { offset: 100, length: 1 }))
      await fails('RANGE_INVALID', store.get(`${prefix}short`, { offset: 1_000_000, length: 1 }))
    })

    check('refuses to read an object above the limit', async store => {
      await store.put(`${prefix}large`, Buffer.alloc(1000))
      await fails('OBJECT_TOO_LARGE', store.get(`${prefix}large`, undefined, { maxLength: 999 }))
      expect((await store.get(`${prefix}large`, undefined, { maxLength: 1000 })).length).toBe(1000)
    })

    check('lists every key under a prefix with its size, and no other', async store => {
      const keys = ['l/a/1', 'l/a/2', 'l/ab/3', 'l/b', 'm/a/1'].map(key => prefix + key)
      await Promise.all(keys.map((key, i) => store.put(key, Buffer.alloc(i))))
      expect(await listed(store, `${prefix}l/`)).toEqual({ [keys[0]!]: 0, [keys[1]!]: 1, [keys[2]!]: 2, [keys[3]!]: 3 })
      expect(await listed(store, `${prefix}l/a`)).toEqual({ [keys[0]!]: 0, [keys[1]!]: 1, [keys[2]!]: 2 })
      expect(await listed(store, `${prefix}nothing/`)).toEqual({})
    })

    check('lists when each was put', async store => {
      await store.put(`${prefix}t/1`, Buffer.alloc(1))
      for await (const { putAt } of store.list(`${prefix}t/`)) expect(Math.abs(Date.now() - putAt)).toBeLessThan(60_000)
    })

    check('deletes, also what is absent, and more keys than one request of S3 takes', async store => {
      await store.put(`${prefix}d/kept`, Buffer.alloc(1))
      await store.put(`${prefix}d/gone`, Buffer.alloc(1))
      await store.delete([...Array.from({ length: 1100 }, (_, i) => `${prefix}d/absent-${i}`), `${prefix}d/gone`])
      await store.delete([])
      expect(await listed(store, `${prefix}d/`)).toEqual({ [`${prefix}d/kept`]: 1 })
      await fails('OBJECT_NOT_FOUND', store.get(`${prefix}d/gone`))
    })

    check('takes many writers and readers at once', async store => {
      const keys = Array.from({ length: 40 }, (_, i) => `${prefix}many/${i % 7}/${i}`)
      await Promise.all(keys.map((key, i) => store.put(key, Buffer.alloc(1000 + i, i))))
      const found = await Promise.all(keys.map(key => store.get(key)))
      for (const [i, bytes] of found.entries()) expect(Buffer.compare(bytes, Buffer.alloc(1000 + i, i))).toBe(0)
    })

    check('refuses keys that lead elsewhere', async store => {
      for (const key of ['', '/etc/passwd', '../up', 'a/../../up', 'a//b', 'a/', '.hidden', 'a/.tmp', 'a\0b', 'x'.repeat(600)]) {
        await fails('KEY_INVALID', store.put(key, Buffer.alloc(1)))
        await fails('KEY_INVALID', store.get(key))
        await fails('KEY_INVALID', store.delete([key]))
      }
    })

    check('stops on an aborted signal with its reason', async store => {
      const signal = AbortSignal.abort(new Error('enough'))
      await store.put(`${prefix}signal`, Buffer.alloc(1))
      await expect(store.put(`${prefix}signal`, Buffer.alloc(2), { signal })).rejects.toThrow('enough')
      await expect(store.get(`${prefix}signal`, undefined, { signal })).rejects.toThrow('enough')
      await expect(store.delete([`${prefix}signal`], { signal })).rejects.toThrow('enough')
      await expect(listed(store, prefix, signal)).rejects.toThrow('enough')
      expect((await store.get(`${prefix}signal`)).length).toBe(1)
    })
  })
}

async function fails(code: RepositoryErrorCode, promise: Promise<unknown>): Promise<void> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(RepositoryError)
  expect((error as RepositoryError).code).toBe(code)
}

async function listed(store: Store, prefix: string, signal?: AbortSignal): Promise<Record<string, number>> {
  const found: Record<string, number> = {}
  for await (const { key, size } of store.list(prefix, signal === undefined ? {} : { signal })) found[key] = size
  return found
}
