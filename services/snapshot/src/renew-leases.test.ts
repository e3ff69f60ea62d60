import { PlatformError } from '@varve/platform'
import { beforeEach, expect, test } from 'vitest'
import { prepareBackup } from './prepare-backup.ts'
import { renewalRound } from './renew-leases.ts'
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
