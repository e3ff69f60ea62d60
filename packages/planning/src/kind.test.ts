import { describe, expect, test } from 'vitest'
import { afterNoAnswer, chooseKind, FULL_REASONS, type FullReason, fullBecause, isParentMaterial, type KindQuestion } from './index.ts'

const generation = 5n << 32n
const image = { imageId: 'parent', diskSize: 1024, blockSize: 64, cbt: true, usable: true }
const plain: KindQuestion = {
  diskSize: 1024,
  blockSize: 64,
  tracking: 'on',
  checkpoint: generation | 4n,
  requested: false,
  parent: { checkpoint: generation | 3n, image },
}

test('an incremental starts at the checkpoint of the last sealed point', () => {
  expect(chooseKind(plain)).toEqual({ kind: 'incremental', reason: null, since: generation | 3n, parentImageId: 'parent' })
})

test.each([
  ['a', 'a'],
  ['a', undefined],
  [undefined, 'a'],
])('identity %s before and %s now: the same disk, as far as is known', (before, now) => {
  const parent = { checkpoint: generation | 3n, image: { ...image, identity: before } }
  expect(chooseKind({ ...plain, identity: now, parent })).toMatchObject({ kind: 'incremental' })
})

describe('each doubt is a full with its reason', () => {
  const cases: readonly [FullReason, Partial<KindQuestion>][] = [
    ['first', { parent: null }],
    ['first', { parent: null, tracking: 'enabled-now' }],
    ['requested', { requested: true }],
    ['cbt-off', { tracking: 'off' }],
    ['cbt-off', { tracking: 'off', requested: true, parent: null }],
    ['cbt-enabled-now', { tracking: 'enabled-now' }],
    ['cbt-invalid', { checkpoint: 0n }],
    ['disk-new', { parent: { checkpoint: generation | 3n, image: null } }],
    ['disk-replaced', { identity: 'b', parent: { checkpoint: generation | 3n, image: { ...image, identity: 'a' } } }],
    ['disk-resized', { diskSize: 2048 }],
    ['block-size-changed', { blockSize: 128 }],
    ['checkpoint-missing', { parent: { checkpoint: 0n, image } }],
    ['checkpoint-missing', { parent: { checkpoint: generation | 3n, image: { ...image, cbt: false } } }],
    ['parent-missing', { parent: { checkpoint: generation | 3n, image: { ...image, usable: false } } }],
    // Reset in between: another generation, lower or higher.
    ['cbt-expired', { checkpoint: (6n << 32n) | 4n }],
    ['cbt-expired', { checkpoint: (4n << 32n) | 9n }],
    // The snapshot is older than the parent: the VM was reverted.
    ['cbt-expired', { checkpoint: generation | 2n }],
  ]
  for (const [reason, change] of cases) {
    test(`${reason}: ${Object.keys(change).join(', ')}`, () => {
      expect(chooseKind({ ...plain, ...change })).toMatchObject({ kind: 'full', reason, parentImageId: null })
    })
  }
  test('every reason is either decided here or by what the platform answers', () => {
    expect(new Set(cases.map(([reason]) => reason))).toEqual(new Set(Object.keys(FULL_REASONS)))
  })
})

test('only without tracking, or where it is not to be believed, is the whole disk read', () => {
  const whole = (Object.keys(FULL_REASONS) as FullReason[]).filter(reason => fullBecause(reason).since === null)
  expect(whole.toSorted()).toEqual(['cbt-invalid', 'cbt-off', 'disk-replaced'])
})

test('a disk read without asking or a snapshot without checkpoint is no parent for an incremental', () => {
  expect(isParentMaterial(7n, fullBecause('cbt-off').since)).toBe(false)
  expect(isParentMaterial(7n, fullBecause('cbt-invalid').since)).toBe(false)
  // A reset that did not help.
  expect(isParentMaterial(7n, null)).toBe(false)
  expect(isParentMaterial(0n, fullBecause('first').since)).toBe(false)
  expect(isParentMaterial(7n, fullBecause('cbt-expired').since)).toBe(true)
  expect(isParentMaterial(7n, 3n)).toBe(true)
})

test('what the platform cannot answer becomes a full of that disk, and a reset only when nothing else helps', () => {
  const incremental = chooseKind(plain)
  expect(afterNoAnswer(incremental, 'CBT_EXPIRED')).toMatchObject({ reason: 'cbt-expired', since: 0n })
  expect(afterNoAnswer(fullBecause('cbt-expired'), 'CBT_EXPIRED')).toBe('reset')
  expect(afterNoAnswer(fullBecause('disk-resized'), 'CBT_EXPIRED')).toBe('reset')
  expect(afterNoAnswer(incremental, 'CBT_ANSWER_INVALID')).toMatchObject({ reason: 'cbt-invalid', since: null })
  expect(afterNoAnswer(fullBecause('first'), 'CBT_DISABLED')).toMatchObject({ reason: 'cbt-off', since: null })
})
