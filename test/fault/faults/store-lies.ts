import { BACKUP_STORE_POINTS, OBJECTS, READ_BACK_ALL, RESTORE_STORE_POINTS, storeFault } from '../driver/behind-proxy.ts'
import { type Fault, SUCCEEDS } from '../driver/fault.ts'
import { COPYING } from '../driver/points.ts'

const PACKS = /\/packs\//
const LIED = [{ state: 'failed', reason: 'STORE_LIED' }] as const

/** The store says that it did what it did not do. It is detected and said; bytes that are wrong are never restored as good ones. */
export const storeLies: readonly Fault[] = [
  storeFault({
    name: 'store-forgets-pack',
    title: 'S3: a PUT of a pack is accepted and not kept',
    where: ['before-lease', ...COPYING.slice(0, 2)],
    quick: ['before-lease'],
    rules: () => [{ fault: { kind: 'not-kept' }, operation: 'PUT', key: PACKS, count: 1 }],
    expect: LIED,
  }),
  storeFault({
    name: 'store-forgets-map',
    title: 'S3: a PUT of a map is accepted and not kept',
    where: ['before-lease', ...COPYING.slice(0, 2)],
    quick: ['middle-range'],
    rules: () => [{ fault: { kind: 'not-kept' }, operation: 'PUT', key: /\/maps\//, count: 1 }],
    expect: LIED,
  }),
  storeFault({
    name: 'store-forgets-root',
    title: 'S3: a PUT of a root is accepted and not kept',
    where: ['before-lease', 'last-range'],
    quick: ['last-range'],
    rules: () => [{ fault: { kind: 'not-kept' }, operation: 'PUT', key: /\.root$/, count: 1 }],
    expect: LIED,
  }),
  storeFault({
    name: 'store-forgets-manifest',
    title: 'S3: the PUT of the manifest is accepted and not kept',
    where: ['before-lease', 'last-range'],
    quick: ['last-range'],
    rules: () => [{ fault: { kind: 'not-kept' }, operation: 'PUT', key: /\/points\//, count: 1 }],
    expect: LIED,
  }),
  storeFault({
    name: 'store-answers-wrong-bytes',
    title: 'S3: a bit is wrong in the answers to three GETs',
    where: BACKUP_STORE_POINTS,
    quick: ['before-lease'],
    rules: () => [{ fault: { kind: 'flip-answer' }, operation: 'GET', key: OBJECTS, count: 3 }],
    // Each object is looked at three times before a store is called a liar, or a root damaged; of three wrong answers all may be to one.
    expect: [...SUCCEEDS, ...LIED, { state: 'failed', reason: 'MAP_CORRUPT' }],
  }),
  storeFault({
    name: 'store-restores-wrong-bytes',
    title: 'S3: a bit is wrong in every answer with part of a pack, while a restore reads',
    where: RESTORE_STORE_POINTS,
    quick: ['restore-before-lease'],
    rules: () => [{ fault: { kind: 'flip-answer' }, operation: 'GET', key: PACKS }],
    expect: [{ state: 'failed', reason: 'BLOCK_DAMAGED' }],
  }),
  storeFault({
    name: 'store-keeps-wrong-bytes',
    title: 'S3: a pack is kept with one bit wrong, and every object is read back (`VARVE_READ_BACK=all`)',
    where: ['before-lease', ...COPYING.slice(0, 2)],
    quick: ['before-lease'],
    world: READ_BACK_ALL,
    rules: () => [{ fault: { kind: 'flip-stored' }, operation: 'PUT', key: PACKS, count: 1 }],
    expect: LIED,
  }),
]
