import { expect, test } from 'vitest'
import { manifestKey, mapKey, packKey, parseKey, rootKey } from './keys.ts'

const ID = '0123456789abcdef0123456789abcdef'
const UUID = '11111111-2222-4333-8444-555555555555'

test('every key that is made says what it names', () => {
  expect(parseKey(packKey(ID))).toEqual({ kind: 'pack', id: ID })
  expect(parseKey(mapKey(ID))).toEqual({ kind: 'map', id: ID })
  expect(parseKey(rootKey(UUID))).toEqual({ kind: 'root', imageId: UUID })
  const key = manifestKey('vm-1', '2026-03-01T10:20:30.400Z', UUID)
  expect(parseKey(key)).toEqual({ kind: 'manifest', vmId: 'vm-1', restorePointId: UUID })
  expect(parseKey('varve.json')).toEqual({ kind: 'format' })
})

test.each([
  [`packs/02/${ID}`, 'unknown'],
  [`packs/01/${ID}0`, 'unknown'],
  [`packs/01/${ID.toUpperCase()}`, 'unknown'],
  [`packs/${ID}`, 'unknown'],
  ['images/x.root.tmp', 'unknown'],
  ['images/.root', 'unknown'],
  ['points/vm-1/x.json', 'unknown'],
  ['points', 'other'],
  ['notes.txt', 'other'],
  [`sub/packs/01/${ID}`, 'other'],
])('%s is %s', (key, kind) => {
  expect(parseKey(key)).toEqual({ kind })
})
