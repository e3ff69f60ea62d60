import { constants, createPrivateKey, generateKeyPair, type KeyObject, privateDecrypt } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { writeFileAtomically } from '../atomic-file.ts'
import { HciError } from '../errors.ts'

const MODULUS_BYTES = 256

/** The login key: 2048 bit, exponent 65537, kept in the data folder so that a restart does not change it. */
export class LoginKey {
  readonly #key: KeyObject
  /** 512 hex characters. */
  readonly modulus: string

  constructor(key: KeyObject) {
    this.#key = key
    this.modulus = Buffer.from(String(key.export({ format: 'jwk' }).n), 'base64url').toString('hex')
  }

  /** PKCS#1 v1.5, hex (`/janus/authenticate`). Throws AUTH_FAILED. */
  decryptPkcs1(hex: string): string {
    // Node refuses RSA_PKCS1_PADDING for decryption (CVE-2023-46809), so the padding is taken off here.
    const block = this.#decrypt(hex, constants.RSA_NO_PADDING)
    return unpadPkcs1(block)
  }

  /** OAEP, hex (`/janus/v2/authenticate`). SHA-1 and an empty label are our choice: which hash SCP uses is not public. */
  decryptOaep(hex: string): string {
    return this.#decrypt(hex, constants.RSA_PKCS1_OAEP_PADDING).toString('utf8')
  }

  #decrypt(hex: string, padding: number): Buffer {
    if (!/^[0-9a-f]+$/i.test(hex) || hex.length !== MODULUS_BYTES * 2) throw wrongPassword()
    try {
      return privateDecrypt({ key: this.#key, padding, oaepHash: 'sha1' }, Buffer.from(hex, 'hex'))
    } catch (cause) {
      throw wrongPassword(cause)
    }
  }
}

/**
 *     00 02 | at least 8 non-zero bytes | 00 | message
 *
 * Every byte is looked at whatever the content, so that the time tells little about where the padding broke; a wrong
 * padding and a wrong password answer the same.
 */
function unpadPkcs1(block: Buffer): string {
  let bad = (block[0] ?? 1) | ((block[1] ?? 0) ^ 2)
  let found = 0
  let start = 0
  for (let i = 2; i < block.length; i++) {
    const isZero = block[i] === 0 ? 1 : 0
    const first = isZero & (found ^ 1)
    start += first * (i + 1)
    found |= isZero
  }
  if (start < 11) bad |= 1
  if (bad !== 0 || found === 0) throw wrongPassword()
  return block.subarray(start).toString('utf8')
}

function wrongPassword(cause?: unknown): HciError {
  return new HciError('AUTH_FAILED', 'user name or password is wrong', {}, cause === undefined ? {} : { cause })
}

export async function openLoginKey(path: string): Promise<LoginKey> {
  try {
    return new LoginKey(createPrivateKey(await readFile(path, 'utf8')))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: MODULUS_BYTES * 8, publicExponent: 65537 })
  await writeFileAtomically(path, String(privateKey.export({ format: 'pem', type: 'pkcs8' })))
  return new LoginKey(privateKey)
}
