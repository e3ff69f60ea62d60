import { randomBytes } from 'node:crypto'
import { createServer, request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Client } from 'minio'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { openStore } from '../../open-store.ts'
import { type RunningMinio, startMinio } from '../../testing/minio.ts'

describe('a real S3 server', () => {
  let started: RunningMinio | string
  let minio: RunningMinio
  beforeAll(async () => {
    started = await startMinio()
  })
  afterAll(async () => {
    if (typeof started !== 'string') await started?.close()
  })
  beforeEach(ctx => {
    if (typeof started === 'string') return ctx.skip(started)
    minio = started
  })

  test('refuses a wrong secret', async () => {
    await (await openStore('s3://signed', minio.settings)).close()
    const store = await openStore('s3://signed', { ...minio.settings, secretKey: 'wrong-secret', createBucket: false })
    await expect(store.put('one', Buffer.from('x'))).rejects.toMatchObject({
      code: 'STORE_DENIED',
      context: { s3Code: 'SignatureDoesNotMatch' },
    })
    await expect(store.delete(['one'])).rejects.toMatchObject({ code: 'STORE_DENIED' })
    await store.close()
  })

  test('refuses a body that is not what was signed, and keeps nothing of it', async () => {
    const store = await openStore('s3://signed', { ...minio.settings, attempts: 2, backoff: 1 })
    const sha256 = 'ab'.repeat(32)
    await expect(store.put('damaged', randomBytes(1000), { sha256 })).rejects.toMatchObject({
      context: { s3Code: 'XAmzContentSHA256Mismatch' },
    })
    await expect(store.get('damaged')).rejects.toMatchObject({ code: 'OBJECT_NOT_FOUND' })
    await store.close()
  })

  test('takes guarded bytes unsigned, and refuses them when they are not what was sent', async () => {
    const sent: (string | undefined)[] = []
    const damaging = createServer((request, response) => {
      sent.push(String(request.headers['x-amz-content-sha256']))
      const { port } = new URL(minio.settings.endpoint)
      const on = httpRequest({ port, method: request.method, path: request.url, headers: request.headers }, answer => {
        response.writeHead(answer.statusCode!, answer.headers)
        answer.pipe(response)
      })
      const alter = request.url?.endsWith('altered') === true
      request.on('data', (part: Buffer) => on.write(alter ? part.map(byte => byte ^ 1) : part))
      request.on('end', () => on.end())
    })
    await new Promise<void>(resolve => damaging.listen(0, '127.0.0.1', resolve))
    const { port } = damaging.address() as AddressInfo
    const store = await openStore('s3://guarded', { ...minio.settings, endpoint: `http://127.0.0.1:${port}`, attempts: 2, backoff: 1 })
    const bytes = randomBytes(100_000)
    await store.put('kept', bytes, { guarded: true })
    expect(Buffer.compare(await store.get('kept'), bytes)).toBe(0)
    await expect(store.put('altered', bytes, { guarded: true })).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      context: { s3Code: 'XAmzContentChecksumMismatch' },
    })
    await expect(store.get('altered')).rejects.toMatchObject({ code: 'OBJECT_NOT_FOUND' })
    // Two tries at the altered one, after a signed one whose checksum the server told back.
    expect(sent.filter(hash => hash === 'UNSIGNED-PAYLOAD')).toHaveLength(2)
    await store.close()
    await new Promise(resolve => damaging.close(resolve))
  })

  test('is reached by a machine whose clock is an hour off, on every path', async () => {
    for (const hours of [1, -1]) {
      const store = await openStore('s3://clock', minio.settings)
      vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + hours * 3_600_000 })
      try {
        const opened = await openStore('s3://clock', minio.settings)
        await Promise.all(['a', 'b-b', 'c'].map(key => opened.put(key, Buffer.from('x'))))
        const keys: string[] = []
        for await (const { key } of store.list('')) keys.push(key)
        expect(keys.sort()).toEqual(['a', 'b-b', 'c'])
        await store.delete(keys)
        for await (const { key } of opened.list('')) expect.fail(key)
        await opened.close()
      } finally {
        vi.useRealTimers()
      }
      await store.close()
    }
  })

  test('says that there is no such bucket, unless it may be made', async () => {
    const missing = { ...minio.settings, createBucket: false }
    await expect(openStore('s3://not-there', missing)).rejects.toMatchObject({ code: 'STORE_URL_INVALID' })
    const [one, two] = await Promise.all([openStore('s3://not-there/a', minio.settings), openStore('s3://not-there/b', minio.settings)])
    await one.put('key', Buffer.from('a'))
    await expect(two.get('key')).rejects.toMatchObject({ code: 'OBJECT_NOT_FOUND' })
    await Promise.all([one.close(), two.close()])
  })

  test('lists more than one page', async () => {
    const store = await openStore('s3://pages/deep/prefix', minio.settings)
    const keys = Array.from({ length: 1050 }, (_, i) => `k/${i % 10}/${i}`)
    for (let at = 0; at < keys.length; at += 50) await Promise.all(keys.slice(at, at + 50).map(key => store.put(key, Buffer.alloc(1))))
    const found: string[] = []
    for await (const { key } of store.list('k/')) found.push(key)
    expect(found.sort()).toEqual(keys.sort())
    await store.close()
  })

  test('shows uploads under its prefix that never ended, and drops them', async () => {
    const store = await openStore('s3://uploads/site-a', minio.settings)
    const endpoint = new URL(minio.settings.endpoint)
    const { accessKey, secretKey } = minio.settings
    const client = new Client({ endPoint: endpoint.hostname, port: Number(endpoint.port), useSSL: false, accessKey, secretKey })
    await client.initiateNewMultipartUpload('uploads', 'site-a/packs/aa/half', {})
    await client.initiateNewMultipartUpload('uploads', 'site-b/packs/aa/other', {})
    const list = async () => {
      const found = []
      for await (const write of store.unfinished!.list()) found.push(write)
      return found
    }
    const [write, ...others] = await list()
    expect(others).toEqual([])
    expect(write).toMatchObject({ key: 'packs/aa/half', id: expect.stringMatching(/./) })
    expect(Math.abs(Date.now() - write!.begunAt)).toBeLessThan(60_000)
    await store.unfinished!.drop(write!)
    await store.unfinished!.drop(write!)
    expect(await list()).toEqual([])
    await store.close()
  })

  test('takes a pack of 40 MiB in one request', async () => {
    const store = await openStore('s3://large', minio.settings)
    const bytes = randomBytes(40 * 1024 * 1024)
    await store.put('pack', bytes)
    expect(Buffer.compare(await store.get('pack', { offset: 30_000_000, length: 8_000_000 }), bytes.subarray(30_000_000, 38_000_000))).toBe(
      0,
    )
    await store.close()
  })
})
