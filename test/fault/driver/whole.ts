import type { Check } from '@varve/catalog-client'
import { openStore, parseKey, restorePointIdOf } from '@varve/repository'
import { endOfCheck } from './check-end.ts'
import { differenceOfPoint, type KnownPoint } from './stored-points.ts'
import type { GuestVm } from './vm.ts'
import type { World } from './world.ts'

const CHECK_MS = 120_000
const GARBAGE = ['object-of-ended-attempt', 'root-of-failed-run']

/** What is wrong with the world although every run has ended: nothing, if all is well. `points` are read in whole. */
export async function problemsOf(world: World, vms: readonly GuestVm[], points: readonly KnownPoint[]): Promise<string[]> {
  const problems: string[] = []
  // Before the checker, which takes leaks away.
  for (const vm of vms) problems.push(...(await onThePlatform(world, vm)))
  problems.push(...(await fromTheChecker(world)))
  problems.push(...(await inTheBucket(world)))
  for (const point of points) {
    const wrong = await differenceOfPoint(world, point)
    if (wrong !== null) problems.push(`restore point ${point.id}: ${wrong}`)
  }
  return problems
}

/** The product's own look; an installation without it (404) is looked at from outside only. */
async function fromTheChecker(world: World): Promise<string[]> {
  if (!world.services.has('maintenance')) return []
  const { id } = await world.api<Check>('POST', '/v1/checks', { scope: 'all', sweep: true })
  const { state, findings } = await endOfCheck(world, id, CHECK_MS)
  if (state !== 'done' || findings === null) return [`check ${id} is ${state}`]
  // An ended run owns nothing: only what dead or beaten workers wrote may be there to be swept.
  const bad = findings.filter(({ kind, code, swept }) => kind === 'broken' || (kind === 'leak' && (!swept || !GARBAGE.includes(code))))
  return bad.map(({ kind, code, subject, message }) => `${kind} ${code}: ${subject} ${message}`)
}

/** No snapshot is left, nobody holds the VM, and no VM is there that nobody asked for. */
async function onThePlatform(world: World, vm: GuestVm): Promise<string[]> {
  const problems: string[] = []
  const snapshots = await world.driver.listSnapshots(vm.platformVmId, '')
  if (snapshots.length > 0) problems.push(`leak on the platform: snapshots ${snapshots.map(s => s.name).join(', ')}`)
  try {
    const lease = await world.driver.createLease(vm.platformVmId, 'backup', 60)
    await world.driver.releaseLease(lease.id)
  } catch (error) {
    problems.push(`leak on the platform: VM ${vm.name} is held (${String(error)})`)
  }
  return problems
}

/**
 * The bucket's manifests are those of sealed points, or of runs that did not succeed: what a seal that was cut off left is kept, for nothing tells it safely from
 * a point. No point lacks its own, and every pack and map is of an attempt that was recorded before.
 */
async function inTheBucket(world: World): Promise<string[]> {
  const store = await openStore(world.repositoryUrl, world.storeSettings)
  try {
    const keys = new Set<string>()
    for await (const { key } of store.list('points/')) keys.add(key)
    const known = await world.database.query<{ manifest_key: string }>('select manifest_key from varve.restore_points')
    const missing = known.filter(({ manifest_key: key }) => !keys.delete(key))
    const failed = await world.database.query<{ id: string }>("select id from varve.runs where outcome in ('failed', 'cancelled')")
    const unsealed = new Set(failed.map(({ id }) => restorePointIdOf(id)))
    for (const key of keys) {
      const parsed = parseKey(key)
      if (parsed.kind === 'manifest' && unsealed.has(parsed.restorePointId)) keys.delete(key)
    }
    const attempts = new Set((await world.database.query<{ id: string }>('select id from varve.attempts')).map(({ id }) => id))
    const unknown: string[] = []
    for (const prefix of ['packs/', 'maps/']) {
      for await (const { key } of store.list(prefix)) if (!attempts.has(attemptOf(key))) unknown.push(key)
    }
    return [
      ...unknown.map(key => `leak in the bucket: ${key} is of no attempt`),
      ...missing.map(({ manifest_key: key }) => `broken: the catalog offers ${key}, which the bucket does not have`),
      ...[...keys].map(key => `leak in the bucket: ${key} belongs to no point`),
    ]
  } finally {
    await store.close()
  }
}

/** The first 24 of the 32 hex digits of the id of a pack or map name the attempt; of anything else there, none. */
function attemptOf(key: string): string {
  const parsed = parseKey(key)
  return parsed.kind === 'pack' || parsed.kind === 'map' ? parsed.id.slice(0, 24) : ''
}
