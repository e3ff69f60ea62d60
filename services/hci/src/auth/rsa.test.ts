import { constants, generateKeyPairSync, publicEncrypt, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { encrypted } from '../testing/test-hci.ts'
import { LoginKey } from './rsa.ts'

const pair = generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 65537 })
const key = new LoginKey(pair.privateKey)
const WRONG = 'user name or password is wrong'

/** Any 256-byte block as PKCS#1 would see it after decryption. */
function raw(block: Buffer): string {
  return publicEncrypt({ key: pair.publicKey, padding: constants.RSA_NO_PADDING }, block).toString('hex')
}

test('the modulus is 512 hex characters', () => {
  expect(key.modulus).toMatch(/^[0-9a-f]{512}$/)
})

test('decrypts what a client encrypted, with either padding', () => {
  for (const password of ['', 'secret', 'pässwörd', 'x'.repeat(200)]) {
    expect(key.decryptPkcs1(encrypted(key.modulus, password))).toBe(password)
    expect(key.decryptOaep(encrypted(key.modulus, password, constants.RSA_PKCS1_OAEP_PADDING))).toBe(password)
  }
})

test('paddings do not mix', () => {
  expect(() => key.decryptPkcs1(encrypted(key.modulus, 'secret', constants.RSA_PKCS1_OAEP_PADDING))).toThrow(WRONG)
  expect(() => key.decryptOaep(encrypted(key.modulus, 'secret'))).toThrow(WRONG)
})

test.each([
  ['a first byte that is not 0', (b: Buffer) => b.writeUInt8(1, 0)],
  ['a block type that is not 2', (b: Buffer) => b.writeUInt8(1, 1)],
  ['a padding of 7 bytes', (b: Buffer) => b.writeUInt8(0, 9)],
  ['no end of the padding', (b: Buffer) => b.fill(1, 2)],
])('refuses %s', (_, spoil) => {
  const block = Buffer.concat([Buffer.from([0, 2]), Buffer.alloc(8, 1), Buffer.from([0]), Buffer.alloc(245, 0x61)])
  expect(key.decryptPkcs1(raw(block))).toBe('a'.repeat(245))
  spoil(block)
  expect(() => key.decryptPkcs1(raw(block))).toThrow(WRONG)
})

test('refuses anything else with the same words', () => {
  for (const hex of ['', 'xyz', '00', 'f'.repeat(512), randomBytes(255).toString('hex'), `0x${'0'.repeat(510)}`]) {
    expect(() => key.decryptPkcs1(hex)).toThrow(WRONG)
    expect(() => key.decryptOaep(hex)).toThrow(WRONG)
  }
})
