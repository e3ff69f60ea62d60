import { PlatformError } from '@varve/platform'
import { beforeEach, describe, expect, test } from 'vitest'
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

test('a lease that the platform no longer knows is taken again, as often as it is lost, and the run says so once', async () => {
  const seen = new Set([it.catalog.run.resources.leaseId])
  for (let times = 1; times <= 3; times++) {
    it.platform.leases.clear()
    await renewalRound(it.deps, 300, signal)
    seen.add(it.catalog.run.resources.leaseId)
    expect([...it.platform.leases.keys()]).toEqual([it.catalog.run.resources.leaseId])
    expect(it.catalog.requeued).toBe(times)
  }
  expect(seen.size).toBe(4)
  expect(it.catalog.run).toMatchObject({ state: 'copying', resources: { leaseToken: null } })
  expect(it.catalog.run.notes.filter(note => note.startsWith('The lease was lost'))).toEqual(['The lease was lost and taken again.'])
})

test('it is taken again also by several services at once, and of a paused run', async () => {
  it.catalog.run = { ...it.catalog.run, paused: true }
  it.platform.leases.clear()
  await Promise.all([renewalRound(it.deps, 300, signal), renewalRound(it.deps, 300, signal)])
  expect(it.catalog.run).toMatchObject({ state: 'copying', paused: true })
  expect([...it.platform.leases.keys()]).toEqual([it.catalog.run.resources.leaseId])
})

test('one taken again that nobody could note is found by its token', async () => {
  it.platform.leases.clear()
  const record = it.catalog.recordResources.bind(it.catalog)
  it.catalog.recordResources = async (id, resources) => {
    if (typeof resources.leaseId === 'string') throw new Error('killed')
    return record(id, resources)
  }
  it.platform.releaseLease = async () => {}
  await renewalRound(it.deps, 300, signal)
  expect(it.catalog.run).toMatchObject({ state: 'copying', resources: { leaseToken: expect.any(String) } })
  const [unnoted] = it.platform.leases.keys()
  it.catalog.recordResources = record
  await renewalRound(it.deps, 300, signal)
  expect(it.catalog.run.resources).toMatchObject({ leaseId: unnoted, leaseToken: null })
})

describe('a lost lease ends the run with LEASE_LOST', () => {
  const lostForGood = async (): Promise<void> => {
    await renewalRound({ ...it.deps, retryMs: 100_000 }, 300, signal)
    expect(it.catalog.run).toMatchObject({ state: 'finishing', outcome: 'failed', reason: 'LEASE_LOST' })
  }

  test('when somebody else holds the VM', async () => {
    it.platform.leases.clear()
    await it.platform.createLease('vm-1', 'backup')
    await lostForGood()
    expect(it.catalog.run.resources.leaseToken).toBe(null)
  })

  test('when the snapshot is gone', async () => {
    it.platform.leases.clear()
    it.platform.snapshots.clear()
    await lostForGood()
    expect(it.platform.leases.size).toBe(0)
  })

  test('when it is a restore, whose target may have been written to', async () => {
    it.catalog.run = { ...it.catalog.run, kind: 'restore', targetPlatformVmId: 'vm-1' }
    it.platform.leases.clear()
    await lostForGood()
    expect(it.platform.leases.size).toBe(0)
  })
})

test('a lost lease is left to the next round while the platform does not answer', async () => {
  it.platform.leases.clear()
  const getSnapshot = it.platform.getSnapshot.bind(it.platform)
  it.platform.getSnapshot = async () => {
    throw new PlatformError('PLATFORM_UNREACHABLE', 'no answer')
  }
  await renewalRound(it.deps, 300, signal)
  expect(it.catalog.run.state).toBe('copying')
  it.platform.getSnapshot = getSnapshot
  await renewalRound(it.deps, 300, signal)
  expect(it.platform.leases.size).toBe(1)
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
