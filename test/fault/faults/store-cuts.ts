import { BACKUP_STORE_POINTS, OBJECTS, RESTORE_STORE_POINTS, storeFault } from '../driver/behind-proxy.ts'
import { type Fault, SUCCEEDS } from '../driver/fault.ts'

const EVERYWHERE = [...BACKUP_STORE_POINTS, ...RESTORE_STORE_POINTS]
const PACKS = /\/packs\//

/** Bodies that end too early. */
export const storeCuts: readonly Fault[] = [
  storeFault({
    name: 'store-resets',
    title: 'S3: connections reset in mid-body, of three PUTs and three GETs',
    where: EVERYWHERE,
    quick: ['middle-range'],
    rules: ({ random }) => [
      { fault: { kind: 'reset-request', afterBytes: 1 + random.below(500_000) }, operation: 'PUT', key: OBJECTS, count: 3 },
      { fault: { kind: 'reset-answer', afterBytes: random.below(1000) }, operation: 'GET', key: OBJECTS, count: 3 },
    ],
    expect: SUCCEEDS,
  }),
  storeFault({
    name: 'store-truncates',
    title: 'S3: three GETs end early, under a length that says more',
    where: RESTORE_STORE_POINTS,
    quick: ['restore-before-lease'],
    rules: ({ random }) => [
      { fault: { kind: 'truncate', bytes: random.below(1000), announced: 'whole' }, operation: 'GET', key: OBJECTS, count: 3 },
    ],
    expect: SUCCEEDS,
  }),
  storeFault({
    name: 'store-truncates-neatly',
    title: 'S3: three GETs of packs end early, under a length and a range that fit',
    where: RESTORE_STORE_POINTS,
    quick: ['restore-middle-range'],
    rules: ({ random }) => [
      { fault: { kind: 'truncate', bytes: 1 + random.below(1000), announced: 'sent' }, operation: 'GET', key: PACKS, count: 3 },
    ],
    expect: SUCCEEDS,
  }),
]
