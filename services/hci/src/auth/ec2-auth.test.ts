import { expect, test } from 'vitest'
import { HciError } from '../errors.ts'
import { ec2Signature, parseEc2Header, verifyEc2 } from './ec2-auth.ts'

const SECRET = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY'
const DATE = '20150830T123600Z'
const NOW = Date.UTC(2015, 7, 30, 12, 36, 30)

function request(headers: Record<string, string>, path = '/') {
  return { method: 'get', path, headers, body: '' }
}

test('signs the example "get-vanilla" of the AWS SigV4 test suite as published', () => {
  const credential = { scope: '20150830/us-east-1/service/aws4_request', signedHeaders: ['host', 'x-amz-date'] }
  const signature = ec2Signature(credential, SECRET, DATE, request({ host: 'example.amazonaws.com', 'x-amz-date': DATE }))
  expect(signature).toBe('5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31')
})

test.each([['x-amz-date'], ['cookie;x-amz-date'], ['path;x-amz-date']])('verifies with the signed headers %s', signedHeaders => {
  const scope = '20150830/cn-south-1/open-api/aws4_request'
  const headers = { 'x-amz-date': DATE, cookie: 'aCMPAuthToken=1' }
  const asked = request(headers, '/janus/20180725/azs')
  const signature = ec2Signature({ scope, signedHeaders: signedHeaders.split(';') }, SECRET, DATE, asked)
  const credential = parseEc2Header(`AWS4-HMAC-SHA256 Credential=AK/${scope}, SignedHeaders=${signedHeaders}, Signature=${signature}`)
  expect(credential.accessKey).toBe('AK')
  verifyEc2(credential, SECRET, asked, NOW)
  expect(() => verifyEc2(credential, `${SECRET}x`, asked, NOW)).toThrow(HciError)
  expect(() => verifyEc2(credential, SECRET, { ...asked, path: '/janus/20180725/hosts' }, NOW)).toThrow(HciError)
  expect(() => verifyEc2(credential, SECRET, { ...asked, body: '{}' }, NOW)).toThrow(HciError)
  expect(() => verifyEc2(credential, SECRET, asked, NOW + 16 * 60_000)).toThrow(HciError)
})

test.each([
  ['AWS4-HMAC-SHA256'],
  ['AWS4-HMAC-SHA256 Credential=AK/20150830/r/s/aws4_request, SignedHeaders=host, Signature=00'],
  [`AWS4-HMAC-SHA256 Credential=AK/20150830/r/s/aws4_request, SignedHeaders=cookie, Signature=${'0'.repeat(64)}`],
])('refuses the header %s', header => {
  expect(() => parseEc2Header(header)).toThrow(HciError)
})
