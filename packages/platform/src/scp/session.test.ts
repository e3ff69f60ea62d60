import { createHash, createHmac } from 'node:crypto'
import { afterEach, expect, test } from 'vitest'
import { refused, type Script, ScriptedScp, USER } from '../testing/scripted-scp.ts'
import { signRequest } from './access-key.ts'
import type { ScpOptions } from './options.ts'
import { openScpDriver } from './scp-driver.ts'

const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close()
})
async function start(script: Script, options: ScpOptions = {}, password = USER.password) {
  const scp = await ScriptedScp.start(
    (request, response) => script(request, response) ?? (scp.knows(request) ? { data: { build_version: '6.11.1' } } : undefined),
  )
  const driver = openScpDriver({ ...scp.connection, credentials: { ...USER, password } }, { retryPauseMs: 1, ...options })
  open.push(scp, driver)
  return { scp, driver }
}

test('the password goes out encrypted as PKCS#1 v1.5 and the token is used', async () => {
  const { scp, driver } = await start(() => undefined)
  expect(await driver.version()).toBe('6.11.1')
  expect(scp.requests.map(({ path }) => path)).toEqual(['/janus/public-key', '/janus/authenticate', '/janus/20180725/system/version'])
  expect(scp.requests[0]?.headers.cookie).toMatch(/^aCMPAuthToken=/)
  expect(JSON.stringify(scp.requests)).not.toContain(USER.password)
})

test.each([404, 401])('when the older login answers %i, the newer one with OAEP is taken and remembered', async status => {
  const { scp, driver } = await start(({ path }) => (path === '/janus/authenticate' ? refused(status, 'no') : undefined))
  await driver.version()
  expect(scp.requests.find(({ path }) => path === '/janus/v2/public-key')?.headers.cookie).toBeUndefined()
  scp.expireTokens()
  const before = scp.requests.length
  await driver.version()
  expect(scp.requests.slice(before).map(({ path }) => path)).toEqual([
    '/janus/20180725/system/version',
    '/janus/v2/public-key',
    '/janus/v2/authenticate',
    '/janus/20180725/system/version',
  ])
})

test('calls at the same time log in once, and once again when the token has run out', async () => {
  const { scp, driver } = await start(() => undefined)
  await Promise.all(Array.from({ length: 8 }, () => driver.version()))
  expect(scp.logins).toBe(1)
  scp.expireTokens()
  await Promise.all(Array.from({ length: 8 }, () => driver.version()))
  expect(scp.logins).toBe(2)
})

test('a platform that takes no token ends in PLATFORM_AUTH_FAILED, not in a loop', async () => {
  const { scp, driver } = await start(({ path }) => (path.endsWith('version') ? refused(401, 'never') : undefined))
  await expect(driver.version()).rejects.toMatchObject({ code: 'PLATFORM_AUTH_FAILED' })
  expect(scp.logins).toBe(2)
})

test('a wrong password is not sent again and again', async () => {
  const { scp, driver } = await start(() => undefined, {}, 'wrong')
  for (let i = 0; i < 3; i++) await expect(driver.version()).rejects.toMatchObject({ code: 'PLATFORM_AUTH_FAILED' })
  expect(scp.requests.filter(({ path }) => path.endsWith('authenticate'))).toHaveLength(2)
})

test.each([
  ['not hex', { public_key: 'zz' }],
  ['too short', { public_key: 'abcd' }],
  ['missing', {}],
])('a public key that is %s is PLATFORM_ANSWER_INVALID', async (_name, data) => {
  const { driver } = await start(({ path }) => (path.endsWith('public-key') ? { data } : undefined))
  await expect(driver.version()).rejects.toMatchObject({ code: 'PLATFORM_ANSWER_INVALID' })
})

test('a token with a line break can not smuggle headers in', async () => {
  const { driver } = await start(({ path }) =>
    path.endsWith('authenticate') ? { data: { access: { token: { id: 'a\r\nx: y' } } } } : undefined,
  )
  await expect(driver.version()).rejects.toMatchObject({ code: 'PLATFORM_ANSWER_INVALID' })
})

test('the signature follows AWS Signature Version 4 without the query', () => {
  const key = { accessKey: 'AK', secretKey: 'SK', region: 'cn-south-1', service: 'open-api', signedHeaders: ['path', 'x-amz-date'] }
  const headers = signRequest(key, 'POST', '/janus/x', '{"a":1}', new Date('2024-02-03T04:05:06.789Z'))
  const canonical = `POST\n/janus/x\n\npath:/janus/x\nx-amz-date:20240203T040506Z\n\npath;x-amz-date\n${createHash('sha256').update('{"a":1}').digest('hex')}`
  const toSign = `AWS4-HMAC-SHA256\n20240203T040506Z\n20240203/cn-south-1/open-api/aws4_request\n${createHash('sha256').update(canonical).digest('hex')}`
  let k: Buffer = Buffer.from('AWS4SK')
  for (const part of ['20240203', 'cn-south-1', 'open-api', 'aws4_request']) k = createHmac('sha256', k).update(part).digest()
  expect(headers).toEqual({
    path: '/janus/x',
    'x-amz-date': '20240203T040506Z',
    authorization: `AWS4-HMAC-SHA256 Credential=AK/20240203/cn-south-1/open-api/aws4_request, SignedHeaders=path;x-amz-date, Signature=${createHmac('sha256', k).update(toSign).digest('hex')}`,
  })
})
