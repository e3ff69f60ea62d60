import { type Catalog, CatalogError } from '@varve/catalog-client'
import { NbdError } from '@varve/nbd'
import { PlatformError } from '@varve/platform'
import { createLogger } from '@varve/runtime'
import { describe, expect, test } from 'vitest'
import { endOrRetry } from './end-or-retry.ts'
import { RangeWorkerError } from './errors.ts'
import { isPassingForRange } from './work-on-range.ts'

const signal = new AbortController().signal
const log = createLogger('test', 'silent')

describe('what becomes of a job that failed', () => {
  const eio = (errno: string) => new NbdError('NBD_REQUEST_FAILED', 'no', { errno })
  test.each([
    [new NbdError('NBD_CLOSED', 'hung up'), false, 'again'],
    [new NbdError('NBD_CLOSED', 'hung up'), true, 'NBD_CLOSED'],
    [new NbdError('NBD_PROTOCOL', 'garbage'), false, 'again'],
    [eio('EIO'), false, 'again'],
    [eio('EIO'), true, 'NBD_REQUEST_FAILED'],
    [eio('EINVAL'), false, 'NBD_REQUEST_FAILED'],
    [new PlatformError('LEASE_LOST', 'gone'), false, 'LEASE_LOST'],
    [new RangeWorkerError('CANCELLED', 'cancelled'), false, 'CANCELLED'],
    [new RangeWorkerError('RANGE_STALLED', 'no progress'), false, 'again'],
    [new CatalogError('RUN_ENDED', 'over'), true, 'nothing'],
    [new Error('a bug'), false, 'again'],
    [new Error('a bug'), true, 'INTERNAL'],
  ])('%s, last attempt %s: %s', async (error, lastAttempt, expected) => {
    let failed = 'nothing'
    const failRun = async (_: string, { code }: { code: string }): Promise<void> => {
      failed = code
    }
    const catalog = { failRun } as unknown as Catalog
    const ended = endOrRetry(error, { runId: 'run', rangeId: 'range', lastAttempt, signal }, isPassingForRange, { catalog, log })
    if (expected === 'again') await expect(ended).rejects.toBe(error)
    else {
      await ended
      expect(failed).toBe(expected)
    }
  })

  test('a process that is being stopped fails no run', async () => {
    const catalog = { failRun: () => Promise.reject(new Error('must not be called')) } as unknown as Catalog
    const error = new Error('stopped')
    const job = { runId: 'run', rangeId: 'range', lastAttempt: true, signal: AbortSignal.abort() }
    await expect(endOrRetry(error, job, isPassingForRange, { catalog, log })).rejects.toBe(error)
  })
})
