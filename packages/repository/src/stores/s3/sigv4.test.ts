import { hash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { EMPTY_HASH, encodePath, type RequestToSign, signRequest } from './sigv4.ts'

/** The examples of https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html */
const CREDENTIALS = { accessKey: 'AKIAIOSFODNN7EXAMPLE', secretKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' }
const SCOPE = { region: 'us-east-1', service: 's3', time: new Date('2013-05-24T00:00:00Z') }
const HOST = { host: 'examplebucket.s3.amazonaws.com' }

function signatureOf(request: RequestToSign): string | undefined {
  return /Signature=([0-9a-f]+)$/.exec(signRequest(request, CREDENTIALS, SCOPE).authorization!)?.[1]
}

describe('signatures published by AWS for S3', () => {
  test('GET object with a range', () => {
    const request = { method: 'GET', path: '/test.txt', query: '', headers: { ...HOST, range: 'bytes=0-9' }, payloadHash: EMPTY_HASH }
    expect(signRequest(request, CREDENTIALS, SCOPE)).toEqual({
      ...request.headers,
      'x-amz-content-sha256': 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
      'x-amz-date': '20130524T000000Z',
      authorization:
        'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
    })
  })

  test('PUT object with a body, more headers and a path to encode', () => {
    const headers = { ...HOST, date: 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class': 'REDUCED_REDUNDANCY' }
    const payloadHash = hash('sha256', 'Welcome to Amazon S3.', 'hex')
    expect(signatureOf({ method: 'PUT', path: encodePath('/test$file.text'), query: '', headers, payloadHash })).toBe(
      '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
    )
  })

  test('GET with a query without value', () => {
    expect(signatureOf({ method: 'GET', path: '/', query: 'lifecycle=', headers: HOST, payloadHash: EMPTY_HASH })).toBe(
      'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
    )
  })

  test('GET with a query', () => {
    expect(signatureOf({ method: 'GET', path: '/', query: 'max-keys=2&prefix=J', headers: HOST, payloadHash: EMPTY_HASH })).toBe(
      '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
    )
  })
})

test('paths are encoded byte by byte, once', () => {
  expect(encodePath("/a b/ü/(!*')/100%/~-_.")).toBe('/a%20b/%C3%BC/%28%21%2A%27%29/100%25/~-_.')
})
