import { merkleRoot, PageRefs, type Root } from '@varve/block-map'
import type { PointFacts, PointImageFacts } from '@varve/catalog-client'
import type { RestorePointManifest } from '@varve/repository'
import { describe, expect, test } from 'vitest'
import { judgePoint, manifestDifferences, rootDifferences } from './judge-point.ts'

const root: Root = { imageId: 'i1', diskSize: 1 << 28, blockSize: 1 << 18, pages: PageRefs.none }
const image: PointImageFacts = {
  imageId: 'i1',
  diskId: 'virtio0',
  diskSize: 1 << 28,
  blockSize: 1 << 18,
  kind: 'incremental',
  reason: null,
  since: '4294967297',
  cbt: true,
  rootKey: 'images/i1.root',
  merkleRoot: merkleRoot(root).toString('hex'),
  read: 10,
  stored: 5,
  parentImageId: 'i0',
  parent: { restorePointId: 'p0', diskId: 'virtio0', checkpointId: '4294967297' },
}
const point: PointFacts = {
  id: 'p1',
  runId: 'r1',
  vmId: 'v1',
  vmName: 'app',
  platformId: 'pl',
  platformVmId: 'vm-1',
  parentId: 'p0',
  parentVmId: 'v1',
  createdAt: '2026-03-01T10:00:00.000Z',
  checkpointId: '4294967298',
  manifestKey: 'points/v1/20260301T100000.000Z-p1.json',
  config: { cpu: { cores: 2 }, name: 'app' },
  runKind: 'backup',
  runOutcome: 'succeeded',
  imagesOfRun: 1,
  images: [image],
}
const { parent: _parent, parentImageId: _id, since: _since, ...told } = image
const manifest: RestorePointManifest = {
  restorePointId: 'p1',
  vm: { id: 'v1', platformId: 'pl', platformVmId: 'vm-1', name: 'renamed since' },
  createdAt: '2026-03-01T10:00:00Z',
  checkpointId: '4294967298',
  parentId: 'p0',
  config: { name: 'app', cpu: { cores: 2 } },
  images: [told],
}

const codes = (change: Partial<PointFacts>, ofImage: Partial<PointImageFacts> = {}): string[] =>
  judgePoint({ ...point, images: [{ ...image, ...ofImage }], ...change }).map(({ code }) => code)

describe('rows', () => {
  test('a sound point is nothing to tell of; neither is a full with a reason, nor an incremental from before checkpoints were recorded', () => {
    expect(codes({})).toEqual([])
    expect(codes({}, { kind: 'full', reason: 'requested', parent: null, since: null })).toEqual([])
    expect(codes({}, { since: null })).toEqual([])
  })

  test.each<[string, Partial<PointFacts>, Partial<PointImageFacts>]>([
    ['point-incomplete', { images: [] }, {}],
    ['point-incomplete', { imagesOfRun: 2 }, {}],
    ['point-incomplete', { runOutcome: 'failed' }, {}],
    ['point-incomplete', { runKind: 'restore' }, {}],
    ['parent-not-sealed', { parentVmId: null }, {}],
    ['parent-not-sealed', { parentVmId: 'v2' }, {}],
    ['parent-not-sealed', {}, { parent: null }],
    ['parent-not-sealed', {}, { parent: { ...image.parent!, restorePointId: 'p9' } }],
    ['parent-not-sealed', {}, { parent: { ...image.parent!, diskId: 'virtio1' } }],
    ['since-not-of-parent', {}, { since: '4294967296' }],
    ['since-not-of-parent', {}, { parent: { ...image.parent!, checkpointId: null } }],
    ['full-without-reason', {}, { kind: 'full', reason: null }],
  ])('%s: %j %j', (code, change, ofImage) => {
    expect(codes(change, ofImage)).toEqual([code])
  })
})

describe('manifest', () => {
  test('is the same whatever the order of its members, and a VM may have got another name', () => {
    expect(manifestDifferences(point, manifest)).toEqual([])
  })

  test.each<[string, Partial<RestorePointManifest>]>([
    ['restorePointId', { restorePointId: 'p2' }],
    ['vm.id', { vm: { ...manifest.vm, id: 'v2' } }],
    ['createdAt', { createdAt: '2026-03-01T10:00:01Z' }],
    ['checkpointId', { checkpointId: '1' }],
    ['parentId', { parentId: null }],
    ['config', { config: { name: 'app', cpu: { cores: 4 } } }],
    ['images', { images: [] }],
    ['images', { images: [told, { ...told, diskId: 'virtio1' }] }],
    ['virtio0.reason', { images: [{ ...told, reason: 'first' }] }],
    ['virtio0.rootKey', { images: [{ ...told, rootKey: 'images/x.root' }] }],
    ['virtio0.merkleRoot', { images: [{ ...told, merkleRoot: 'aa' }] }],
    ['virtio0.cbt', { images: [{ ...told, cbt: false }] }],
  ])('says that %s differs', (name, change) => {
    expect(manifestDifferences(point, { ...manifest, ...change })).toEqual([name])
  })
})

test('a root says the same as the catalog, or what differs', () => {
  expect(rootDifferences(image, root)).toEqual([])
  expect(rootDifferences(image, { ...root, imageId: 'i2' })).toEqual(['imageId'])
  expect(rootDifferences(image, { ...root, diskSize: 1 << 29 })).toEqual(['diskSize', 'merkleRoot'])
})
