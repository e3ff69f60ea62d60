import { expect, test } from 'vitest'
import { NBD_REPLY_TYPE_ERROR, NBD_REPLY_TYPE_ERROR_OFFSET } from '../constants.ts'
import { decodeBlockStatusBody, decodeErrorBody, encodeBlockStatusBody } from './chunk.ts'

const error = (errno: number, length: number, ...text: number[]) => Uint8Array.of(0, 0, 0, errno, 0, length, ...text)

test('an error body: known errno, unknown errno, unknown error type', () => {
  expect(decodeErrorBody(NBD_REPLY_TYPE_ERROR, error(28, 2, 0x68, 0x69))).toEqual({ errno: 'ENOSPC', message: 'hi' })
  expect(decodeErrorBody(NBD_REPLY_TYPE_ERROR_OFFSET, error(5, 0, 0, 0, 0, 0, 0, 0, 0, 9))).toEqual({ errno: 'EIO', message: '' })
  expect(decodeErrorBody(0x80ff, error(99, 0, 1, 2, 3)).errno).toBe('EINVAL')
})

test.each([
  ['too short', NBD_REPLY_TYPE_ERROR, Uint8Array.of(0, 0, 0, 5)],
  ['no error', NBD_REPLY_TYPE_ERROR, error(0, 0)],
  ['text longer than the body', NBD_REPLY_TYPE_ERROR, error(5, 3, 0x68, 0x69)],
  ['no offset', NBD_REPLY_TYPE_ERROR_OFFSET, error(5, 2, 0x68, 0x69)],
])('a wrong error body: %s', (_, type, body) => {
  expect(() => decodeErrorBody(type, body)).toThrow(expect.objectContaining({ code: 'NBD_PROTOCOL' }))
})

test('block status there and back; another context, an empty extent and half an extent are refused', () => {
  const extents = [
    { length: 0xffffffff, hole: true, zero: false },
    { length: 1, hole: false, zero: true },
  ]
  const body = encodeBlockStatusBody(3, extents)
  expect(decodeBlockStatusBody(3, body)).toEqual(extents)
  for (const [id, wrong] of [
    [4, body],
    [3, body.subarray(0, -1)],
    [3, body.subarray(0, 4)],
    [3, encodeBlockStatusBody(3, [{ length: 0, hole: true, zero: true }])],
  ] as const) {
    expect(() => decodeBlockStatusBody(id, wrong)).toThrow(expect.objectContaining({ code: 'NBD_PROTOCOL' }))
  }
})
