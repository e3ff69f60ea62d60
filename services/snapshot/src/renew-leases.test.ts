import { PlatformError } from '@varve/platform'
import { beforeEach, expect, test } from 'vitest'
import { prepareBackup } from './prepare-backup.ts'
import { renewalRound, renewLeases } from './renew-leases.ts'
import { type StoryWorld, storyWorld } from './testing/story-world.ts'

const signal = new AbortController().signal
const RUN_ID = '00000000-0000-4000-8000-000000000001'
let it: StoryWorld

beforeEach(async () => {
  it = await storyWorld({ kind: 'backup' })
  await prepareBackup(RUN_ID, it.deps, signal)
})

test('the leases of live runs are renewed, whoever made them', async () => {
  await renewalRound(it.deps, 300, signal)
  expect(it.platform.calls.at(-1)).toBe(`renewLease ${it.catalog.run.resources.leaseId}`)
})

test('a lease that the platform no longer knows ends its run', async () => {
  it.platform.leases.clear()
  await renewalRound(it.deps, 300, signal)
  expect(it.catalog.run).toMatchObject({ state: 'finishing', outcome: 'failed', reason: 'LEASE_LOST' })
})

test('a platform that does not answer ends nothing', async () => {
  it.platform.renewLease = async () => {
    throw new PlatformError('PLATFORM_UNREACHABLE', 'no answer')
  }
  await renewalRound(it.deps, 300, signal)
  expect(it.catalog.run.state).toBe('copying')
})

test('a lease given back, or replaced, while the round is under way ends nothing', async () => {
  it.platform.renewLease = async leaseId => {
    await it.catalog.recordResources(RUN_ID, { leaseId: null })
    throw new PlatformError('LEASE_LOST', `no lease ${leaseId}`)
  }
  await renewalRound(it.deps, 300, signal)
  expect(it.catalog.run.state).toBe('copying')
})

/** Leases of two more runs, before the one that is there; the platform never answers about the first. */
function withOneThatHangs(): string[] {
  const renewed: string[] = []
  it.catalog.activeLeases = async () => ['hangs', 'a', 'b'].map(leaseId => ({ runId: RUN_ID, platformId: 'platform', leaseId }))
  it.platform.renewLease = async leaseId => {
    if (leaseId === 'hangs') await new Promise(() => {})
    renewed.push(leaseId)
  }
  return renewed
}

test('a renewal that does not end costs only itself, and is given up in time', async () => {
  const renewed = withOneThatHangs()
  await renewalRound(it.deps, 0.04, signal)
  expect(renewed).toEqual(['a', 'b'])
  expect(it.catalog.run.state).toBe('copying')
})

test('a renewal that does not end delays no later round, nor the end', async () => {
  const renewed = withOneThatHangs()
  const stop = new AbortController()
  const push = renewed.push.bind(renewed)
  renewed.push = (...ids) => {
    if (renewed.length === 5) stop.abort()
    return push(...ids)
  }
  await renewLeases(it.deps, { everySeconds: 0.001, leaseSeconds: 100_000 }, stop.signal)
  expect(renewed.slice(0, 6)).toEqual(['a', 'b', 'a', 'b', 'a', 'b'])
})
