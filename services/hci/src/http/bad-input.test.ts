import { connect } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { newVm, TestHci } from '../testing/test-hci.ts'

let hci: TestHci
const CREATE = '/janus/20180725/servers/config'

beforeAll(async () => {
  hci = await TestHci.start({ bodyLimit: 100_000, rateLimits: { publicKey: 3 } })
})
afterAll(() => hci.close())

test.each([
  ['no JSON', '{"name": '],
  ['a list', '[]'],
  ['a number', '5'],
  ['null', 'null'],
  ['nothing', ''],
  ['nesting', '['.repeat(50_000)],
  ['__proto__', '{"__proto__": {"x": 1}}'],
])('a body with %s is refused in an envelope', async (_, body) => {
  const answer = await hci.call('POST', CREATE, body)
  expect(answer.status).toBe(400)
  expect(answer.body).toMatchObject({ code: 400, message: expect.any(String), data: { error: 'REQUEST_INVALID' } })
})

test('a huge body is refused', async () => {
  const answer = await hci.call('POST', CREATE, JSON.stringify({ name: 'x'.repeat(200_000) }))
  expect(answer.status).toBe(413)
  expect(answer.data.error).toBe('BODY_TOO_LARGE')
})

test('another content type is refused', async () => {
  const answer = await hci.call('POST', CREATE, 'name: x', { 'content-type': 'text/yaml' })
  expect(answer.status).toBe(415)
  expect(answer.body.code).toBe(415)
})

test('an unknown call is refused in the envelope of its date', async () => {
  expect((await hci.call('GET', '/janus/20180725/nothing')).body).toMatchObject({ code: 404, data: { error: 'ROUTE_NOT_FOUND' } })
  expect((await hci.call('PATCH', '/janus/20240725/servers')).body).toMatchObject({ errcode: '404' })
})

test('ids of any kind name nothing', async () => {
  for (const id of ['nope', '..%2f..%2fetc', '%00', 'a'.repeat(299), '%F0%9F%92%A9', 'constructor', '__proto__']) {
    const answer = await hci.call('GET', `/janus/20240725/servers/${id}`)
    expect([id, answer.status]).toEqual([id, 404])
  }
  expect((await hci.call('GET', `/janus/20240725/servers/${'a'.repeat(301)}`)).body).toMatchObject({ errcode: '414' })
  expect((await hci.call('GET', '/janus/20240725/servers/%zz')).body).toMatchObject({ errcode: '400' })
})

test('a wrong client token is refused', async () => {
  const body = newVm('x', { virtio0: 1048576 })
  expect((await hci.call('POST', CREATE, body, { 'x-client-token': 'x'.repeat(129) })).status).toBe(400)
})

test('bytes that are not HTTP close the connection and nothing else', async () => {
  const socket = connect(hci.hci.port, '127.0.0.1')
  const ended = new Promise(resolve => socket.once('close', resolve))
  socket.on('error', () => {})
  socket.resume()
  socket.write(Buffer.alloc(1000, 0xff))
  await ended
  expect((await hci.call('GET', '/janus/20180725/system/version')).status).toBe(200)
})

test('public-key calls are limited with 403, as SCP does', async () => {
  const statuses: number[] = []
  for (let i = 0; i < 4; i++) statuses.push((await hci.call('GET', '/janus/v2/public-key')).status)
  expect(statuses).toContain(403)
})

test('calls are limited with 429 and say how long to wait', async () => {
  const limited = await TestHci.start({ rateLimits: { get: 2 } })
  try {
    const call = () => limited.call('GET', '/janus/20180725/system/version')
    expect([(await call()).status, (await call()).status]).toEqual([200, 200])
    const third = await call()
    expect(third.status).toBe(429)
    expect(Number(third.headers.get('retry-after'))).toBeGreaterThan(50)
    expect(third.data.error).toBe('THROTTLED')
  } finally {
    await limited.close()
  }
})
