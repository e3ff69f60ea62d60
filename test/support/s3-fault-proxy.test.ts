import { randomBytes } from 'node:crypto'
import { openStore, type Store, type StoreSettings } from '@varve/repository'
import { type RunningMinio, startMinio } from '@varve/repository/testing'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type S3FaultProxy, startS3FaultProxy } from './s3-fault-proxy.ts'
import { S3Faults } from './s3-faults.ts'

/** Real MinIO behind, the product's own S3 store in front; `direct` sees what the server really keeps. */
let started: RunningMinio | string
let proxy: S3FaultProxy
let store: Store
let direct: Store
const bytes = randomBytes(300_000)
const IMPATIENT: StoreSettings = { attempts: 2, backoff: 1, requestTimeout: 1500 }

beforeAll(async () => {
  started = await startMinio()
  if (typeof started === 'string') return
  proxy = await startS3FaultProxy({ target: started.settings, seed: 7 })
  direct = await openStore('s3://faults/pre', started.settings)
  store = await openStore('s3://faults/pre', { ...started.settings, ...IMPATIENT, endpoint: proxy.endpoint })
})
beforeEach(async ctx => {
  if (typeof started === 'string') return ctx.skip(started)
  await direct.put('one', bytes)
})
afterEach(() => proxy?.faults.clear())
afterAll(async () => {
  await store?.close()
  await direct?.close()
  await proxy?.close()
  if (typeof started !== 'string') await started?.close()
})

const same = (got: Uint8Array, wanted: Uint8Array): boolean => Buffer.compare(got, wanted) === 0
const stored = (key: string): Promise<Uint8Array> => direct.get(key)
const keys = async (from: Store): Promise<string[]> => {
  const found: string[] = []
  for await (const { key } of from.list('')) found.push(key)
  return found.sort()
}

test('without a fault everything passes: signatures, bodies of 20 MiB, ranges, listings, deletion', async () => {
  const large = randomBytes(20 * 1024 * 1024)
  await store.put('large', large)
  expect(same(await stored('large'), large)).toBe(true)
  expect(same(await store.get('large', { offset: 5, length: 10_000_000 }), large.subarray(5, 10_000_005))).toBe(true)
  expect(await keys(store)).toEqual(['large', 'one'])
  await store.delete(['large'])
  expect(await keys(direct)).toEqual(['one'])
})

describe('answers', () => {
  test.each([
    [500, 'InternalError', 'STORE_UNAVAILABLE'],
    [503, 'SlowDown', 'STORE_THROTTLED'],
    [403, 'AccessDenied', 'STORE_DENIED'],
  ])('%i %s', async (status, code, ours) => {
    proxy.faults.add({ fault: { kind: 'status', status, code }, key: /two$/ })
    await expect(store.put('two', bytes)).rejects.toMatchObject({ code: ours, context: { s3Code: code } })
    expect(await keys(direct)).toEqual(['one'])
  })

  test('late', async () => {
    proxy.faults.add({ fault: { kind: 'slow', ms: 300 }, count: 1 })
    const before = performance.now()
    await store.get('one')
    expect(performance.now() - before).toBeGreaterThan(250)
  })

  test('never', async () => {
    proxy.faults.add({ fault: { kind: 'hang' } })
    await expect(store.get('one')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
  }, 15_000)
})

describe('connections cut in mid-body', () => {
  test('of a request: nothing is kept, and the second try succeeds', async () => {
    const rule = proxy.faults.add({ fault: { kind: 'reset-request', afterBytes: 100_000 }, operation: 'PUT' })
    await expect(store.put('cut', bytes)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    expect(proxy.faults.hits(rule)).toBe(2)
    expect(await keys(direct)).toEqual(['one'])
    proxy.faults.clear()
    await store.put('cut', bytes)
    await store.delete(['cut'])
  })

  test('of an answer', async () => {
    proxy.faults.add({ fault: { kind: 'reset-answer', afterBytes: 100_000 }, operation: 'GET' })
    await expect(store.get('one')).rejects.toMatchObject({ code: 'STORE_TRUNCATED' })
  })

  test('ended early although more was announced', async () => {
    proxy.faults.add({ fault: { kind: 'truncate', bytes: 1000, announced: 'whole' } })
    await expect(store.get('one')).rejects.toMatchObject({ code: 'STORE_TRUNCATED' })
    await expect(store.get('one', { offset: 10, length: 5000 })).rejects.toMatchObject({ code: 'STORE_TRUNCATED' })
  })

  test('cut, with headers that fit what is left: a whole object looks whole, a range does not', async () => {
    proxy.faults.add({ fault: { kind: 'truncate', bytes: 1000, announced: 'sent' } })
    expect(same(await store.get('one'), bytes.subarray(0, 1000))).toBe(true)
    await expect(store.get('one', { offset: 10, length: 5000 })).rejects.toMatchObject({ code: 'STORE_TRUNCATED' })
  })
})

describe('lies', () => {
  test('a PUT that is not kept', async () => {
    proxy.faults.add({ fault: { kind: 'not-kept' }, operation: 'PUT', key: /lost$/ })
    await store.put('lost', bytes)
    await expect(store.get('lost')).rejects.toMatchObject({ code: 'OBJECT_NOT_FOUND' })
  })

  test('one bit wrong in an answer, the stored object unharmed', async () => {
    proxy.faults.add({ fault: { kind: 'flip-answer' }, count: 1 })
    const got = await store.get('one')
    expect(got[150_000]).toBe(bytes[150_000]! ^ 1)
    expect(got.filter((byte, i) => byte !== bytes[i])).toHaveLength(1)
    expect(same(await store.get('one'), bytes)).toBe(true)
  })

  test('another object in its place', async () => {
    const other = randomBytes(300_000)
    await direct.put('other', other)
    proxy.faults.add({ fault: { kind: 'other-object', key: 'pre/other' }, key: /one$/ })
    expect(same(await store.get('one'), other)).toBe(true)
    expect(same(await store.get('one', { offset: 7, length: 100 }), other.subarray(7, 107))).toBe(true)
    await direct.delete(['other'])
  })

  test('one bit wrong in what is kept', async () => {
    proxy.faults.add({ fault: { kind: 'flip-stored' }, operation: 'PUT', count: 1 })
    await store.put('bad', bytes)
    const kept = await stored('bad')
    expect(kept.filter((byte, i) => byte !== bytes[i])).toHaveLength(1)
    await direct.delete(['bad'])
  })

  test('a listing that leaves out keys and pages', async () => {
    const names = Array.from({ length: 1010 }, (_, i) => `k/${String(i).padStart(4, '0')}`)
    for (let at = 0; at < names.length; at += 101) await Promise.all(names.slice(at, at + 101).map(key => direct.put(key, Buffer.alloc(1))))
    proxy.faults.add({ fault: { kind: 'hide', keys: /[02468]$/ }, operation: 'LIST' })
    const seen = await keys(store)
    expect(seen).toHaveLength(500)
    expect(seen.every(key => /[13579]$/.test(key))).toBe(true)
    expect(await keys(direct)).toHaveLength(1011)
    await direct.delete(names)
  })
})

test('the server behind goes away and comes back', async () => {
  const nobody = await startS3FaultProxy({ target: { endpoint: 'http://127.0.0.1:1', accessKey: 'a', secretKey: 's' } })
  const settings = { ...(started as RunningMinio).settings, ...IMPATIENT, endpoint: nobody.endpoint }
  await expect(openStore('s3://faults/pre', settings)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
  await nobody.close()
})

test('the same seed hits the same requests; after and count are kept to', () => {
  const draw = (seed: number): string => {
    const faults = new S3Faults(seed)
    const rule = faults.add({ fault: { kind: 'hang' }, operation: 'PUT', after: 3, count: 5, probability: 0.5 })
    const drawn = Array.from({ length: 40 }, () => (faults.take({ operation: 'PUT', key: 'k' }) === undefined ? '.' : 'x')).join('')
    expect(faults.take({ operation: 'GET', key: 'k' })).toBeUndefined()
    expect(faults.hits(rule)).toBe(5)
    return drawn
  }
  expect(draw(1)).toBe(draw(1))
  expect(draw(1)).not.toBe(draw(2))
  expect(draw(1).slice(0, 3)).toBe('...')
})
