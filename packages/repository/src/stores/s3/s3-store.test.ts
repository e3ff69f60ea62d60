import { hash, randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { RepositoryError, type RepositoryErrorCode } from '../../errors.ts'
import { openStore, type StoreSettings } from '../../open-store.ts'
import { type FakeS3, type FakeS3Answer, s3Faults, startFakeS3 } from '../../testing/fake-s3.ts'
import type { S3Store } from './s3-store.ts'

let server: FakeS3
let store: S3Store
const bytes = randomBytes(100_000)
const SETTINGS: StoreSettings = { accessKey: 'a', secretKey: 's', attempts: 3, backoff: 1, requestTimeout: 10_000 }

beforeEach(async () => {
  server = await startFakeS3()
  store = await open()
  await store.put('one', bytes)
})
afterEach(async () => {
  await store.close()
  await server.close()
})

async function open(settings: StoreSettings = {}): Promise<S3Store> {
  return (await openStore('s3://bucket/pre', { ...SETTINGS, endpoint: server.endpoint, ...settings })) as S3Store
}

async function fails(code: RepositoryErrorCode, promise: Promise<unknown>): Promise<RepositoryError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(RepositoryError)
  expect(error).toMatchObject({ code })
  return error as RepositoryError
}

describe('a fault that passes is tried again', () => {
  test.each([
    ['503 SlowDown', s3Faults.status(503, 'SlowDown')],
    ['500', s3Faults.status(500, 'InternalError')],
    ['429 with Retry-After', s3Faults.status(429, 'TooManyRequests', { 'retry-after': '0' })],
    ['a body damaged on the way up', s3Faults.status(400, 'XAmzContentSHA256Mismatch')],
    ['a reset connection', s3Faults.reset()],
    ['something that is not HTTP', s3Faults.garbage()],
  ])('%s, on PUT and on GET', async (_title, fault) => {
    server.faults.push(fault)
    await store.put('two', bytes)
    server.faults.push(fault)
    expect(Buffer.compare(await store.get('two'), bytes)).toBe(0)
    expect(store.counters.retries).toBe(2)
  })

  test.each([
    ['a body cut off', s3Faults.cut(5000)],
    ['a body cut off before its first byte', s3Faults.cut(0)],
    ['an answer without length', s3Faults.noLength()],
  ])('%s, on GET', async (_title, fault) => {
    server.faults.push(fault)
    expect(Buffer.compare(await store.get('one'), bytes)).toBe(0)
    expect(store.counters.retries).toBe(1)
  })

  test.each([
    ['a range ignored', s3Faults.ignoreRange()],
    ['another range', s3Faults.wrongRange()],
    ['fewer bytes, though the object goes on', s3Faults.shortRange()],
  ])('%s', async (_title, fault) => {
    server.faults.push(fault)
    const part = await store.get('one', { offset: 10, length: 20 })
    expect(Buffer.compare(part, bytes.subarray(10, 30))).toBe(0)
  })
})

test('a clock that is an hour off: requests are signed by that of the store', async () => {
  const theirs = new Date(Date.now() - 3_600_000)
  server.faults.push(s3Faults.status(403, 'RequestTimeTooSkewed', { date: theirs.toUTCString() }))
  await store.put('two', bytes)
  expect(Buffer.compare(await store.get('two'), bytes)).toBe(0)
  const [refused, ...later] = server.requests.slice(-3).map(({ headers }) => amzTime(headers['x-amz-date']))
  expect(refused! - theirs.getTime()).toBeGreaterThan(3_500_000)
  for (const time of later) expect(Math.abs(time - theirs.getTime())).toBeLessThan(100_000)
})

test('several at once that are refused for their time are all asked again', async () => {
  const skewed = s3Faults.status(403, 'RequestTimeTooSkewed', { date: new Date(Date.now() + 3_600_000).toUTCString() })
  // Each is signed before the first of them is refused.
  const refused: (() => void)[] = []
  const together: FakeS3Answer = (request, response, object) => {
    refused.push(() => skewed(request, response, object))
    if (refused.length === 4) for (const refuse of refused) refuse()
  }
  server.faults.push(together, together, together, together)
  await Promise.all(['a', 'b', 'c', 'd'].map(key => store.put(key, bytes)))
})

test('refused for the time although it is that of the store: said', async () => {
  const skewed = s3Faults.status(403, 'RequestTimeTooSkewed', { date: new Date().toUTCString() })
  server.faults.push(skewed)
  await fails('STORE_DENIED', store.put('two', bytes))
  server.faults.push(s3Faults.status(403, 'RequestTimeTooSkewed', { date: 'nonsense' }))
  await fails('STORE_DENIED', store.put('two', bytes))
})

function amzTime(text: unknown): number {
  return Date.parse(String(text).replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'))
}

describe('a fault that stays is said', () => {
  test.each<[RepositoryErrorCode, number, string, boolean]>([
    ['STORE_THROTTLED', 503, 'SlowDown', true],
    ['STORE_UNAVAILABLE', 500, 'InternalError', true],
    ['STORE_DENIED', 403, 'AccessDenied', false],
    ['STORE_DENIED', 403, 'SignatureDoesNotMatch', false],
    ['STORE_FULL', 507, 'XMinioStorageFull', false],
    ['STORE_FULL', 403, 'QuotaExceeded', false],
    ['STORE_URL_INVALID', 404, 'NoSuchBucket', false],
    ['STORE_URL_INVALID', 301, 'PermanentRedirect', false],
  ])('as %s for %i %s', async (code, status, s3Code, retried) => {
    for (let i = 0; i < 3; i++) server.faults.push(s3Faults.status(status, s3Code))
    const before = server.requests.length
    const error = await fails(code, store.put('two', bytes))
    expect(error.context).toMatchObject({ status, s3Code, key: 'two' })
    expect(server.requests.length - before).toBe(retried ? 3 : 1)
  })

  test('as STORE_TRUNCATED for a body that is cut each time', async () => {
    for (let i = 0; i < 3; i++) server.faults.push(s3Faults.cut(10))
    await fails('STORE_TRUNCATED', store.get('one'))
  })

  test('without reading an endless error document', async () => {
    server.faults.push(s3Faults.hugeError())
    await fails('STORE_REFUSED', store.get('one'))
  })

  test('at once when the store asks for more patience than there is', async () => {
    server.faults.push(s3Faults.status(503, 'SlowDown', { 'retry-after': '3600' }))
    await fails('STORE_THROTTLED', store.get('one'))
    expect(store.counters.retries).toBe(0)
  })
})

describe('nothing waits for ever', () => {
  test.each([
    ['a server that never answers', s3Faults.silent()],
    ['a body that stops coming', s3Faults.stall()],
  ])('%s', async (_title, fault) => {
    const impatient = await open({ requestTimeout: 150, attempts: 1 })
    server.faults.push(fault)
    await fails('STORE_UNAVAILABLE', impatient.get('one'))
    await impatient.close()
  })

  test('the control path either', async () => {
    const impatient = await open({ requestTimeout: 150, attempts: 2 })
    server.faults.push(s3Faults.silent(), s3Faults.silent())
    await fails('STORE_UNAVAILABLE', impatient.delete(['one']))
    expect(impatient.counters.retries).toBe(1)
    await impatient.close()
  })

  test('an aborted call ends with the reason, before and during the request', async () => {
    const abort = new AbortController()
    server.faults.push((_request, response) => {
      response.writeHead(200)
      abort.abort(new Error('enough'))
    })
    await expect(store.get('one', undefined, { signal: abort.signal })).rejects.toThrow('enough')
    await expect(store.get('one', undefined, { signal: abort.signal })).rejects.toThrow('enough')
  })

  test('a server that is not there', async () => {
    await server.close()
    await fails('STORE_UNAVAILABLE', store.get('one'))
    await fails('STORE_UNAVAILABLE', open())
  })
})

test('one put is one request, and one get too', async () => {
  const before = server.requests.length
  await store.put('three', bytes)
  await store.get('three', { offset: 1, length: 2 })
  expect(server.requests.slice(before).map(({ method, path }) => `${method} ${path}`)).toEqual([
    'PUT /bucket/pre/three',
    'GET /bucket/pre/three',
  ])
  expect(store.counters).toMatchObject({ puts: 2, gets: 1, lists: 0, heads: 1, bytesOut: 200_000, bytesIn: 2 })
})

test('a hash that the caller knows is signed as it is', async () => {
  const sha256 = 'f'.repeat(64)
  await store.put('four', bytes, { sha256 })
  expect(server.requests.at(-1)!.headers['x-amz-content-sha256']).toBe(sha256)
})

describe('guarded bytes', () => {
  const guarded = { guarded: true }
  const sha256 = hash('sha256', bytes, 'hex')
  const hashes = (): (string | undefined)[] =>
    server.requests.filter(({ path }) => path.includes('guarded')).map(({ headers }) => String(headers['x-amz-content-sha256']))

  test('go unsigned once the store has told a checksum back', async () => {
    for (const n of [1, 2, 3]) await store.put(`guarded-${n}`, bytes, guarded)
    expect(hashes()).toEqual([sha256, 'UNSIGNED-PAYLOAD', 'UNSIGNED-PAYLOAD'])
  })

  test('stay signed where the store says nothing of the checksum: it may not look at it', async () => {
    await server.close()
    server = await startFakeS3({ checksCrc: false })
    const other = await open()
    for (const n of [1, 2, 3]) await other.put(`guarded-${n}`, bytes, guarded)
    expect(hashes()).toEqual([sha256, sha256, sha256])
    await other.close()
  })

  test.each([
    [400, 'InvalidRequest'],
    [403, 'AccessDenied'],
    [501, 'NotImplemented'],
  ])('are signed from then on where they are refused otherwise (%i %s)', async (status, s3Code) => {
    await store.put('guarded-1', bytes, guarded)
    server.faults.push(s3Faults.status(status, s3Code))
    for (const n of [2, 3]) await store.put(`guarded-${n}`, bytes, guarded)
    expect(hashes()).toEqual([sha256, 'UNSIGNED-PAYLOAD', sha256, sha256])
  })

  test('that are refused for who asked are not sent twice', async () => {
    await store.put('guarded-1', bytes, guarded)
    server.faults.push(s3Faults.status(403, 'InvalidAccessKeyId'))
    await fails('STORE_DENIED', store.put('guarded-2', bytes, guarded))
    await store.put('guarded-3', bytes, guarded)
    expect(hashes()).toEqual([sha256, 'UNSIGNED-PAYLOAD', 'UNSIGNED-PAYLOAD'])
  })

  test('that were damaged on the way are sent again', async () => {
    await store.put('guarded-1', bytes, guarded)
    server.faults.push(s3Faults.status(400, 'XAmzContentChecksumMismatch'))
    await store.put('guarded-2', bytes, guarded)
    expect(hashes()).toEqual([sha256, 'UNSIGNED-PAYLOAD', 'UNSIGNED-PAYLOAD'])
  })
})

describe('URLs and settings that cannot be', () => {
  test.each<[string, StoreSettings]>([
    ['s3://bucket', { ...SETTINGS, accessKey: '' }],
    ['s3://Bad_Bucket', SETTINGS],
    ['s3://bucket/a%zz', SETTINGS],
    ['s3://bucket/a//b', SETTINGS],
    ['s3://bucket', { ...SETTINGS, endpoint: 'nonsense' }],
    ['s3://bucket', { ...SETTINGS, endpoint: 'ftp://host' }],
    ['s3://bucket', { ...SETTINGS, endpoint: 'http://host/path' }],
    ['s3://bucket', { endpoint: 'http://127.0.0.1:1' }],
    ['http://host/bucket', SETTINGS],
    ['file://host/path', SETTINGS],
    ['file:///a%2Fb', SETTINGS],
    ['/just/a/path', SETTINGS],
    ['', SETTINGS],
  ])('%s', async (url, settings) => {
    const error = await fails('STORE_URL_INVALID', openStore(url, settings))
    expect(error.message).not.toContain('secret=')
  })
})

test('a get that was given up writes nothing into its buffer any more', async () => {
  const into = Buffer.alloc(bytes.length)
  const stop = new AbortController()
  let more: (() => void) | undefined
  server.faults.push((_request, response, object = Buffer.alloc(0)) => {
    response.on('error', () => {})
    response.writeHead(200, { 'content-length': object.length })
    response.write(object.subarray(0, 100))
    more = () => response.end(object.subarray(100))
  })
  const getting = store.get('one', undefined, { into, signal: stop.signal })
  await expect.poll(() => into[0]).toBe(bytes[0])
  stop.abort(new Error('given up'))
  await expect(getting).rejects.toThrow('given up')
  into.fill(0)
  more?.()
  await store.get('one')
  expect(into.every(byte => byte === 0)).toBe(true)
})
