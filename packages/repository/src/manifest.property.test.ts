import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { RepositoryError } from './errors.ts'
import { decodeManifest, encodeManifest, type RestorePointManifest } from './manifest.ts'
import { sealJson } from './sealed-json.ts'

const MANIFEST: RestorePointManifest = {
  restorePointId: '7b0c0f6e-1111-4222-8333-444455556666',
  vm: { id: 'vm-1', platformId: 'platform-1', platformVmId: '42', name: 'größer & "quoted"\n' },
  createdAt: '2026-03-01T10:20:30.400Z',
  checkpointId: '4294967297',
  parentId: null,
  config: { cores: 4, nested: { list: [1, 'two', null, { three: true }] }, '': 'empty key' },
  images: [
    {
      imageId: 'image-1',
      diskId: 'disk-1',
      diskSize: 10_737_418_240,
      blockSize: 262_144,
      kind: 'full',
      reason: 'first',
      rootKey: 'images/image-1.root',
      merkleRoot: 'ab'.repeat(32),
      cbt: true,
      read: 1,
      stored: 2,
    },
  ],
}

test('a manifest comes back as it was', () => {
  expect(decodeManifest(encodeManifest(MANIFEST))).toEqual(MANIFEST)
})

test('any JSON as configuration comes back as JSON makes it', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), config => {
      const expected = JSON.parse(JSON.stringify({ ...MANIFEST, config })) as unknown
      expect(decodeManifest(encodeManifest({ ...MANIFEST, config }))).toEqual(expected)
    }),
  )
})

test('a manifest formatted or ordered otherwise is still itself', () => {
  const parsed = JSON.parse(encodeManifest(MANIFEST).toString()) as Record<string, unknown>
  const turned = Object.fromEntries(Object.entries(parsed).reverse())
  expect(decodeManifest(Buffer.from(JSON.stringify(turned)))).toEqual(MANIFEST)
})

test('a manifest that is cut or altered in any byte is refused, or means the same', () => {
  const bytes = encodeManifest(MANIFEST)
  // The last byte is a newline.
  for (let length = 0; length < bytes.length - 1; length++) expectRefusedOrSame(bytes.subarray(0, length), true)
  for (let at = 0; at < bytes.length; at++) {
    for (const mask of [1, 0x20, 0x80]) {
      const altered = Buffer.from(bytes)
      altered[at]! ^= mask
      expectRefusedOrSame(altered, false)
    }
  }
})

test('any bytes at all are a manifest or a RepositoryError', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
      expectRefusedOrSame(bytes, true)
    }),
  )
})

test('depth that would exhaust the stack is refused', () => {
  expectRefusedOrSame(Buffer.from(`${'{"a":'.repeat(500_000)}1${'}'.repeat(500_000)}`), true)
  expectRefusedOrSame(Buffer.from('['.repeat(5_000_000)), true)
})

describe('what a right sum does not make valid', () => {
  const valid = { format: 'varve-restore-point', version: 1, ...MANIFEST }
  const image = MANIFEST.images[0]
  test.each<[string, object, string]>([
    ['a newer version', { version: 2 }, 'MANIFEST_VERSION_UNKNOWN'],
    ['another format', { format: 'something' }, 'MANIFEST_INVALID'],
    ['no VM', { vm: null }, 'MANIFEST_INVALID'],
    ['a number as id', { restorePointId: 7 }, 'MANIFEST_INVALID'],
    ['a time that is none', { createdAt: 'yesterday' }, 'MANIFEST_INVALID'],
    ['a checkpoint that is none', { checkpointId: '-1' }, 'MANIFEST_INVALID'],
    ['images that are no list', { images: {} }, 'MANIFEST_INVALID'],
    ['an image that is a text', { images: ['x'] }, 'MANIFEST_INVALID'],
    ['a negative disk size', { images: [{ ...image, diskSize: -1 }] }, 'MANIFEST_INVALID'],
    ['a block size that cannot be', { images: [{ ...image, blockSize: 1000 }] }, 'MANIFEST_INVALID'],
    ['an unknown kind', { images: [{ ...image, kind: 'half' }] }, 'MANIFEST_INVALID'],
    ['a Merkle root too short', { images: [{ ...image, merkleRoot: 'ab' }] }, 'MANIFEST_INVALID'],
  ])('%s', (_title, change, code) => {
    expect(() => decodeManifest(sealJson({ ...valid, ...change }))).toThrow(expect.objectContaining({ code }))
  })

  test('a configuration nested without end is not written', () => {
    const config: Record<string, unknown> = {}
    let inner = config
    for (let i = 0; i < 100_000; i++) inner = inner.a = {}
    expect(() => encodeManifest({ ...MANIFEST, config })).toThrow(expect.objectContaining({ code: 'MANIFEST_INVALID' }))
  })

  test('a manifest above the size limit is not written', () => {
    const config = { text: 'x'.repeat(17 * 1024 * 1024) }
    expect(() => encodeManifest({ ...MANIFEST, config })).toThrow(expect.objectContaining({ code: 'MANIFEST_INVALID' }))
  })
})

function expectRefusedOrSame(bytes: Uint8Array, mustRefuse: boolean): void {
  let decoded: unknown
  try {
    decoded = decodeManifest(bytes)
  } catch (error) {
    if (!(error instanceof RepositoryError)) throw error
    return
  }
  expect(mustRefuse).toBe(false)
  expect(decoded).toEqual(MANIFEST)
}
