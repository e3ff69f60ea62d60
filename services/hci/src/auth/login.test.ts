import { constants } from 'node:crypto'
import { sleep } from '@varve/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ACCESS_KEY, ACCOUNT, encrypted, TestHci } from '../testing/test-hci.ts'
import { ec2Signature } from './ec2-auth.ts'

let hci: TestHci

beforeAll(async () => {
  hci = await TestHci.start()
})
afterAll(() => hci.close())

const VERSION = '/janus/20180725/system/version'

function login(path: string, username: string, password: string) {
  return hci.call('POST', path, { auth: { passwordCredentials: { username, password } } }, { authorization: '' })
}

test('the public key is a hex modulus with a newline', async () => {
  const { body } = await hci.call('GET', '/janus/public-key')
  expect(body).toMatchObject({ code: 0, message: '' })
  expect((body.data as { public_key: string }).public_key).toMatch(/^[0-9a-f]{512}\n$/)
})

test('logs in with OAEP over v2', async () => {
  const { data } = await hci.call('GET', '/janus/v2/public-key')
  const password = encrypted(data.public_key, ACCOUNT.password, constants.RSA_PKCS1_OAEP_PADDING)
  const answer = await login('/janus/v2/authenticate', ACCOUNT.username, password)
  expect(answer.status).toBe(200)
  const call = await hci.call('GET', VERSION, undefined, { authorization: `Token ${answer.data.access.token.id}` })
  expect(call.data.build_version).toContain('6.10.0')
})

test('a wrong password, an unknown user and a wrong padding are refused alike', async () => {
  const { data } = await hci.call('GET', '/janus/public-key')
  const answers = await Promise.all([
    login('/janus/authenticate', ACCOUNT.username, encrypted(data.public_key, 'wrong')),
    login('/janus/authenticate', 'nobody', encrypted(data.public_key, ACCOUNT.password)),
    login('/janus/authenticate', 'nobody', encrypted(data.public_key, '')),
    login('/janus/authenticate', ACCOUNT.username, 'ab'),
    login('/janus/v2/authenticate', ACCOUNT.username, encrypted(data.public_key, ACCOUNT.password)),
  ])
  for (const answer of answers) {
    expect(answer.status).toBe(401)
    expect(answer.body).toMatchObject({ code: 401, message: 'user name or password is wrong', data: { error: 'AUTH_FAILED' } })
  }
})

test('a token that the platform does not know any more is refused, and a new login helps', async () => {
  const { token } = hci
  expect((await hci.call('GET', VERSION)).status).toBe(200)
  await hci.restart()
  const late = await hci.call('GET', VERSION, undefined, { authorization: `Token ${token}` })
  expect(late.status).toBe(401)
  expect(late.data.error).toBe('TOKEN_EXPIRED')
  expect((await hci.call('GET', VERSION)).status).toBe(200)
})

test('a token ends when its time is over', async () => {
  const brief = await TestHci.start({ tokenTtlSeconds: 1 })
  await sleep(1050)
  expect((await brief.call('GET', VERSION)).data.error).toBe('TOKEN_EXPIRED')
  await brief.close()
})

test.each([['Bearer x'], ['Token'], ['Token a b'], ['']])('the header "%s" is refused', async authorization => {
  const answer = await hci.call('GET', VERSION, undefined, { authorization })
  expect(answer.status).toBe(401)
})

function signedHeaders(method: string, path: string, body: string, secretKey = ACCESS_KEY.secretKey): Record<string, string> {
  const date = new Date().toISOString().replace(/[-:]|\.\d+/g, '')
  const scope = `${date.slice(0, 8)}/cn-south-1/open-api/aws4_request`
  const signature = ec2Signature({ scope, signedHeaders: ['x-amz-date'] }, secretKey, date, {
    method,
    path,
    headers: { 'x-amz-date': date },
    body,
  })
  return {
    'x-amz-date': date,
    authorization: `AWS4-HMAC-SHA256 Credential=${ACCESS_KEY.accessKey}/${scope}, SignedHeaders=x-amz-date, Signature=${signature}`,
  }
}

test('signed calls work, the query not being signed', async () => {
  const path = '/janus/20240725/servers'
  expect((await hci.call('GET', `${path}?page_size=5`, undefined, signedHeaders('GET', path, ''))).status).toBe(200)
  expect((await hci.call('GET', path, undefined, signedHeaders('GET', path, '', 'wrong'))).status).toBe(401)
})

test('a signature covers the body', async () => {
  const path = '/janus/20180725/servers/action'
  const headers = signedHeaders('POST', path, '{"server_ids":["a"],"server_action":{"start_servers_action":""}}')
  const right = await hci.call('POST', path, '{"server_ids":["a"],"server_action":{"start_servers_action":""}}', headers)
  expect(right.status).toBe(404)
  const other = await hci.call('POST', path, '{"server_ids":["b"],"server_action":{"start_servers_action":""}}', headers)
  expect(other.status).toBe(401)
})
