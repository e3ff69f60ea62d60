import { describe, expect, test } from 'vitest'
import { finishRun } from './finish-run.ts'
import { type StoryWorld, storyWorld } from './testing/story-world.ts'

const signal = new AbortController().signal
const RUN_ID = '00000000-0000-4000-8000-000000000001'

async function restored(): Promise<StoryWorld> {
  const world = await storyWorld({
    kind: 'restore',
    options: { target: 'original', powerOn: true },
    targetPlatformVmId: 'vm-1',
    state: 'finishing',
    outcome: 'succeeded',
  })
  await world.platform.power('vm-1', 'off')
  return world
}

describe('powering on after a restore', () => {
  test.each(['TASK_FAILED', 'TASK_TIMEOUT', 'VM_BUSY'] as const)('%s is news to the user, the data is back all the same', async code => {
    const world = await restored()
    world.platform.powerFails = code
    await finishRun(RUN_ID, world.deps, signal)
    expect(world.catalog.run).toMatchObject({
      state: 'succeeded',
      notes: ['The VM could not be powered on: no memory left on the host'],
    })
  })

  test('a platform that cannot be reached is tried again', async () => {
    const world = await restored()
    world.platform.powerFails = 'PLATFORM_UNREACHABLE'
    await expect(finishRun(RUN_ID, world.deps, signal)).rejects.toMatchObject({ code: 'PLATFORM_UNREACHABLE' })
    world.platform.powerFails = null
    await finishRun(RUN_ID, world.deps, signal)
    expect(world.catalog.run).toMatchObject({ state: 'succeeded', notes: [] })
    expect(world.platform.vms.get('vm-1')?.power).toBe('on')
  })
})

describe('a snapshot task that outlives the process that asked for it', () => {
  test('is waited for: the run does not close before the snapshot is there and gone', async () => {
    const world = await storyWorld({ kind: 'backup', state: 'preparing' })
    const { platform, catalog } = world
    await catalog.recordResources(RUN_ID, { snapshotName: `varve-${RUN_ID}` })
    const killed = (): Promise<void> => Promise.reject(new Error('killed'))
    await expect(platform.createSnapshot('vm-1', `varve-${RUN_ID}`, signal, killed)).rejects.toThrow('killed')
    await catalog.failRun(RUN_ID, { code: 'CANCELLED', message: 'cancelled', retryable: false })
    await expect(finishRun(RUN_ID, world.deps, signal)).rejects.toMatchObject({ code: 'VM_BUSY' })
    expect(catalog.run.state).toBe('finishing')
    platform.muchLater()
    await finishRun(RUN_ID, world.deps, signal)
    expect(catalog.run.state).toBe('cancelled')
    expect(platform.snapshots.size).toBe(0)
  })

  test('a VM that somebody else keeps busy does not hold up a run that made no snapshot', async () => {
    const world = await storyWorld({ kind: 'backup', state: 'finishing', outcome: 'failed' })
    world.platform.vms.set('vm-1', { ...world.platform.vms.get('vm-1')!, busy: true })
    await finishRun(RUN_ID, world.deps, signal)
    expect(world.catalog.run.state).toBe('failed')
  })
})
