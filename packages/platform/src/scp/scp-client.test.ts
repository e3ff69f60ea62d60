import { afterEach, expect, test } from 'vitest'
import type { PlatformError } from '../errors.ts'
import { refused, type Script, ScriptedScp } from '../testing/scripted-scp.ts'
import type { ScpOptions } from './options.ts'
import { retryAfterMs } from './patience.ts'
import { ScpClient, segment } from './scp-client.ts'

const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close()
})
async function start(script: Script, options: ScpOptions = {}) {
  const scp = await ScriptedScp.start((request, response) => (/janus\/2/.test(request.path) ? script(request, response) : undefined))
  const client = new ScpClient(scp.connection, { retryPauseMs: 1, ...options })
  open.push(scp, client)
  return { scp, client }
}
/** Answers the nth call with the nth script, the last one again and again. */
function inTurn(...scripts: readonly Script[]): Script {
  let n = 0
  return (request, response) => (scripts[Math.min(n++, scripts.length - 1)] as Script)(request, response)
}
const hang: Script = () => undefined
const drop: Script = (_request, response) => void response.destroy()
const fine: Script = () => ({ data: 'fine' })
const get = { method: 'GET', path: '/janus/20180725/x', what: 'x' } as const
const post = { method: 'POST', path: '/janus/20180725/x', what: 'x', body: { a: 1 } } as const

test.each([
  ['GET', get],
  ['POST', post],
  ['DELETE', { ...get, method: 'DELETE' } as const],
])('%s is sent again after 5xx and broken connections, under the same client token', async (method, request) => {
  const { scp, client } = await start(
    inTurn(
      () => refused(503, 'busy'),
      drop,
      () => ({ status: 502, raw: '<html>' }),
      fine,
    ),
  )
  expect(await client.call(request)).toBe('fine')
  expect(scp.calls).toHaveLength(4)
  const tokens = new Set(scp.calls.map(({ headers }) => headers['x-client-token']))
  expect(tokens.size).toBe(1)
  expect([...tokens][0] === undefined).toBe(method !== 'POST')
})

test('two calls have two client tokens, one that is given is used', async () => {
  const { scp, client } = await start(fine)
  await client.call(post)
  await client.call(post)
  await client.call({ ...post, clientToken: 'mine' })
  const tokens = scp.calls.map(({ headers }) => headers['x-client-token'])
  expect(new Set(tokens).size).toBe(3)
  expect(tokens[2]).toBe('mine')
})

test('a platform that keeps failing is PLATFORM_UNREACHABLE after the given number of tries', async () => {
  const { scp, client } = await start(() => refused(500, 'internal error'), { tries: 3 })
  await expect(client.call(get)).rejects.toMatchObject({ code: 'PLATFORM_UNREACHABLE', retryable: true, message: 'x: internal error' })
  expect(scp.calls).toHaveLength(3)
})

test('a platform that never answers is PLATFORM_UNREACHABLE in time', async () => {
  const { scp, client } = await start(hang, { requestMs: 100, tries: 2 })
  await expect(client.call(get)).rejects.toMatchObject({ code: 'PLATFORM_UNREACHABLE' })
  expect(scp.calls).toHaveLength(2)
})

test('an answer that trickles in without end is cut off in time', async () => {
  const { client } = await start(
    (_request, response) => {
      response.writeHead(200)
      const timer = setInterval(() => response.write(' '), 10)
      response.on('close', () => clearInterval(timer))
      return undefined
    },
    { requestMs: 200, tries: 1 },
  )
  await expect(client.call(get)).rejects.toMatchObject({ code: 'PLATFORM_UNREACHABLE' })
})

test('no server is PLATFORM_UNREACHABLE', async () => {
  const client = new ScpClient(
    { id: 'p', kind: 'scp', url: 'http://127.0.0.1:1', credentials: { accessKey: 'a', secretKey: 'b' } },
    { retryPauseMs: 1 },
  )
  open.push(client)
  await expect(client.call(get)).rejects.toMatchObject({ code: 'PLATFORM_UNREACHABLE' })
})

test('429 is obeyed: Retry-After is waited for', async () => {
  const { scp, client } = await start(inTurn(() => ({ ...refused(429, 'slow'), headers: { 'retry-after': '1' } }), fine))
  const started = performance.now()
  expect(await client.call(post)).toBe('fine')
  expect(performance.now() - started).toBeGreaterThanOrEqual(990)
  expect(scp.calls).toHaveLength(2)
})

test('what shows that the platform has too much to do is told', async () => {
  const told: string[] = []
  const { client } = await start(
    inTurn(
      () => ({ ...refused(429, 'slow'), headers: { 'retry-after': '0' } }),
      () => refused(503, 'busy'),
      () => ({ ...refused(503, 'busy'), headers: { 'retry-after': '0' } }),
      (_request, response) => {
        setTimeout(() => response.writeHead(200, { 'content-type': 'application/json' }).end('{"code":0,"data":"late"}'), 100)
        return undefined
      },
      fine,
    ),
    { slowMs: 40, onPressure: reason => told.push(reason) },
  )
  expect(await client.call(get)).toBe('late')
  expect(told).toEqual(['throttled', 'throttled', 'slow'])
  expect(await client.call(get)).toBe('fine')
  expect(told).toHaveLength(3)
})

test('429 without end is PLATFORM_THROTTLED, also when no time is named', async () => {
  const { scp, client } = await start(() => ({ ...refused(429, 'slow'), headers: { 'retry-after': '0' } }), { throttleMs: 500 })
  await expect(client.call(get)).rejects.toMatchObject({ code: 'PLATFORM_THROTTLED' })
  expect(scp.calls.length).toBeLessThan(10)
})

test('refusals are not repeated and carry code and text', async () => {
  const answers: readonly (readonly [ReturnType<Script>, string])[] = [
    [refused(400, 'bad field'), 'PLATFORM_REFUSED'],
    [refused(403, 'no right'), 'PLATFORM_AUTH_FAILED'],
    [refused(404, 'gone'), 'VM_NOT_FOUND'],
    [refused(409, 'taken'), 'LEASE_OCCUPIED'],
    [refused(409, 'The VM CBT has expired. Please reset it.'), 'CBT_EXPIRED'],
    [refused(500, 'The VM CBT has expired. Please reset it.'), 'CBT_EXPIRED'],
    [refused(409, 'another operation in progress'), 'VM_BUSY'],
    [{ raw: JSON.stringify({ code: 404, data: null, message: 'gone' }) }, 'VM_NOT_FOUND'],
    [{ raw: JSON.stringify({ errcode: '0x0100', data: null, message: 'odd' }) }, 'PLATFORM_REFUSED'],
    [{ status: 302, headers: { location: 'http://evil/' } }, 'PLATFORM_REFUSED'],
  ]
  for (const [answer, code] of answers) {
    const { scp, client } = await start(() => answer)
    await expect(client.call({ ...get, missing: 'VM_NOT_FOUND', conflict: 'LEASE_OCCUPIED' })).rejects.toMatchObject({ code })
    expect(scp.calls).toHaveLength(1)
  }
})

test.each([
  ['not JSON', { raw: '<html>welcome</html>' }],
  ['a list', { raw: '[]' }],
  ['cut off', { raw: '{"code":0,"data":{"a"' }],
  ['too large', { raw: JSON.stringify({ code: 0, data: 'x'.repeat(2000), message: '' }) }],
])('an answer that is %s is PLATFORM_ANSWER_INVALID', async (_name, answer) => {
  const { client } = await start(() => answer, { maxAnswerBytes: 1000 })
  await expect(client.call(get)).rejects.toMatchObject({ code: 'PLATFORM_ANSWER_INVALID' })
})

test('the message of a platform is bounded and on one line', async () => {
  const { client } = await start(() => refused(400, `a\r\nb\u0000${'x'.repeat(5000)}`))
  const error = (await client.call(get).catch(e => e)) as PlatformError
  expect(error.message).toMatch(/^x: a b x+$/)
  expect(error.message.length).toBeLessThan(600)
})

test('an aborted signal ends a call with its reason, wherever it is', async () => {
  for (const script of [hang, () => refused(503, 'busy'), () => refused(429, 'slow')]) {
    const { scp, client } = await start(script, { retryPauseMs: 60_000 })
    const controller = new AbortController()
    const call = client.call({ ...get, signal: controller.signal })
    while (scp.calls.length === 0) await new Promise(resolve => setTimeout(resolve, 5))
    setTimeout(() => controller.abort(new Error('enough')), 20)
    await expect(call).rejects.toThrow('enough')
  }
})

test('an id can not climb out of its path', () => {
  for (const id of ['..', '.', '', 'a/b', 'a?b', 'a%2fb', 'a b', 'x'.repeat(201)])
    expect(() => segment(id, 'VM_NOT_FOUND')).toThrow('not an id')
  expect(segment('0b1c:d-e_f', 'VM_NOT_FOUND')).toBe('0b1c%3Ad-e_f')
})

test('Retry-After is seconds or a date, bounded', () => {
  const now = Date.parse('2024-01-01T00:00:00Z')
  expect(retryAfterMs(undefined, now)).toBeUndefined()
  expect(retryAfterMs('soon', now)).toBeUndefined()
  expect(retryAfterMs('7', now)).toBe(7000)
  expect(retryAfterMs('999999', now)).toBe(120_000)
  expect(retryAfterMs('Mon, 01 Jan 2024 00:00:09 GMT', now)).toBe(9000)
  expect(retryAfterMs('Mon, 01 Jan 2020 00:00:09 GMT', now)).toBe(0)
})
