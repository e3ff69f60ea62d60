import { BACKUP_STORE_POINTS, OBJECTS, RESTORE_STORE_POINTS, storeFault } from '../driver/behind-proxy.ts'
import { type Fault, SUCCEEDS } from '../driver/fault.ts'

const EVERYWHERE = [...BACKUP_STORE_POINTS, ...RESTORE_STORE_POINTS]

/** The store answers, but not with what was asked for; or does not answer. */
export const storeRefuses: readonly Fault[] = [
  storeFault({
    name: 'store-error-500',
    title: 'S3: half of all requests answered with 500',
    where: EVERYWHERE,
    quick: ['before-lease'],
    rules: () => [{ fault: { kind: 'status', status: 500, code: 'InternalError' }, key: OBJECTS, probability: 0.5, count: 40 }],
    expect: SUCCEEDS,
  }),
  storeFault({
    name: 'store-slow-down',
    title: 'S3: 503 SlowDown to everybody for 6 s',
    where: EVERYWHERE,
    quick: ['middle-range'],
    rules: () => [{ fault: { kind: 'status', status: 503, code: 'SlowDown' }, key: OBJECTS }],
    lastsMs: 6000,
    expect: SUCCEEDS,
  }),
  storeFault({
    name: 'store-denied',
    title: 'S3: 403 AccessDenied until the run has ended',
    where: EVERYWHERE,
    quick: ['before-lease', 'restore-middle-range'],
    rules: () => [{ fault: { kind: 'status', status: 403, code: 'AccessDenied' }, key: OBJECTS }],
    expect: [{ state: 'failed', reason: 'STORE_DENIED' }],
  }),
  storeFault({
    name: 'store-hangs',
    title: 'S3: no answer at all, to ten requests',
    where: EVERYWHERE,
    quick: ['before-lease'],
    rules: () => [{ fault: { kind: 'hang' }, key: OBJECTS, count: 10 }],
    expect: SUCCEEDS,
  }),
  storeFault({
    name: 'store-late',
    title: 'S3: each answer late by a quarter of what a request may take (30 s of 120)',
    where: EVERYWHERE,
    quick: ['before-lease'],
    rules: () => [{ fault: { kind: 'slow', ms: 1000 }, key: OBJECTS }],
    expect: SUCCEEDS,
  }),
]
