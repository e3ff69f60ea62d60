import { randomUUID } from 'node:crypto'
import type { Run } from '@varve/catalog-client'
import type { Point } from './points.ts'
import type { Random } from './random.ts'
import { endOf } from './run-end.ts'
import type { KnownPoint } from './stored-points.ts'
import { differenceOfVm, type GuestVm } from './vm.ts'
import type { World } from './world.ts'

/** Where a restore goes to: a new VM, or over the VM it came from, every byte or what changed since. */
export type RestoreTarget = 'new-vm' | 'original' | 'differential'

const LIMIT_MS = 240_000

/** The dice say; a step that only a restore to a new VM has is of one. */
export function restoreTarget(point: Point, random: Random): RestoreTarget {
  const targets = ['new-vm', 'original', 'differential'] as const
  const target = targets[random.below(targets.length)] ?? 'new-vm'
  return point === 'before-vm' || point === 'vm-unheard' ? 'new-vm' : target
}

export async function startRestore(world: World, vm: GuestVm, source: KnownPoint, target: RestoreTarget): Promise<Run> {
  if (target === 'new-vm') {
    const name = `restored-${randomUUID().slice(0, 8)}`
    return world.api<Run>('POST', `/v1/restore-points/${source.id}/restores`, { target, name, powerOn: true })
  }
  await world.driver.power(vm.platformVmId, 'off')
  return toOriginal(world, source, target === 'differential')
}

function toOriginal(world: World, source: KnownPoint, differential: boolean): Promise<Run> {
  return world.api<Run>('POST', `/v1/restore-points/${source.id}/restores`, { target: 'original', differential, powerOn: true })
}

/** What was restored is as the point was, and everything is put back for the next: a new VM goes, an original that a fault left between two states is restored again. */
export async function lookAtRestored(world: World, vm: GuestVm, run: Run, source: KnownPoint, target: RestoreTarget): Promise<string[]> {
  const problems: string[] = []
  if (target === 'new-vm') {
    if (run.state === 'succeeded' && run.targetPlatformVmId !== null) {
      const wrong = await differenceOfVm(world, run.targetPlatformVmId, source.truth)
      if (wrong !== null) problems.push(`the restored VM: ${wrong}`)
      await world.driver.power(run.targetPlatformVmId, 'off')
      await world.driver.deleteVm(run.targetPlatformVmId)
    }
  } else {
    let last = run
    if (run.state !== 'succeeded') {
      await world.driver.power(vm.platformVmId, 'off')
      last = await endOf(world, await toOriginal(world, source, false), LIMIT_MS)
    }
    if (last.state !== 'succeeded') problems.push(`the VM cannot be restored after it: ${last.state} (${last.reason}: ${last.message})`)
    await world.driver.power(vm.platformVmId, 'on')
    vm.isAgain(source.truth)
    const wrong = await differenceOfVm(world, vm.platformVmId, source.truth)
    if (wrong !== null) problems.push(`the VM restored ${target === 'original' ? 'whole' : 'by what changed'}: ${wrong}`)
  }
  for await (const { name } of world.driver.listVms()) {
    if (name.startsWith('restored-')) problems.push(`leak on the platform: VM ${name}`)
  }
  return problems
}
