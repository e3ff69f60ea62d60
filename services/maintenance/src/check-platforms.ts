import { type LiveRunFacts, type Platform, type RunFacts, restoredVmName } from '@varve/catalog-client'
import { hasCode } from '@varve/errors'
import type { PlatformDriver, PlatformVm } from '@varve/platform'
import { type CheckContext, isWhole } from './check-context.ts'
import { allOf, batches, eachOf } from './each-of.ts'
import { judgeMadeVm, judgeSnapshot, runOfSnapshot, runOfVm, SNAPSHOT_PREFIX, whyKept } from './judge-remains.ts'

/** Requests to one platform at the same time. */
const AT_ONCE = 4
/** VMs whose snapshots are asked about before their runs are looked up together. */
const VMS_PER_BATCH = 200
/** A whole look asks for leases of runs that ended within a day (longer than any lease lives), a periodic one within an hour. */
const ENDED_WITHIN_S = { whole: 86_400, periodic: 3600 }
/** A periodic look asks for the snapshots of so many VMs of a platform besides those that had a run lately, others each time. */
const OTHERS_PER_LOOK = 200

interface OnPlatform extends CheckContext {
  readonly platform: Platform
  readonly driver: PlatformDriver
  /** VMs that a run under way worked on when the check began, by the platform's ids. */
  readonly inUse: ReadonlySet<string>
  /** Does a run under way work on it now? Then it is left alone. */
  readonly isInUse: (vmId: string) => Promise<boolean>
}

/** Snapshots, VMs and leases on the platforms that no run owns. A platform that does not answer is a note, and the others are looked at. */
export async function checkPlatforms(context: CheckContext, live: ReadonlyMap<string, LiveRunFacts>): Promise<void> {
  const { catalog, platforms, check, findings, log, signal } = context
  const within = isWhole(check) ? ENDED_WITHIN_S.whole : ENDED_WITHIN_S.periodic
  const ended: RunFacts[] = []
  for await (const run of allOf(after => catalog.endedRunFacts(within, after))) ended.push(run)
  for (const platform of await catalog.listPlatforms()) {
    const of = (run: RunFacts): boolean => run.platformId === platform.id
    const inUse = vmsOf([...live.values()].filter(of))
    const isInUse = async (vmId: string): Promise<boolean> => {
      for await (const run of allOf(after => catalog.liveRunFacts(after))) if (of(run) && vmsOf([run]).has(vmId)) return true
      return false
    }
    try {
      const on = { ...context, platform, driver: await platforms.get(platform.id), inUse, isInUse }
      await checkLeases(ended.filter(of), on)
      await checkVms(vmsOf(ended.filter(of)), on)
    } catch (error) {
      signal.throwIfAborted()
      if (hasCode(error, 'CATALOG_UNREACHABLE', 'CATALOG_FAULT')) throw error
      log.warn({ platformId: platform.id, err: error }, 'a platform could not be looked at')
      const message = `platform ${platform.name}: ${error instanceof Error ? error.message : String(error)}`
      findings.add({ code: 'platform-not-looked-at', subject: platform.id, platformId: platform.id, message })
    }
  }
}

function vmsOf(runs: readonly RunFacts[]): Set<string> {
  return new Set(runs.flatMap(run => [run.platformVmId, ...(run.targetPlatformVmId === null ? [] : [run.targetPlatformVmId])]))
}

/** What a run that ended had as its lease must be gone. */
async function checkLeases(ended: readonly RunFacts[], { driver, platform, findings, signal }: OnPlatform): Promise<void> {
  await eachOf(ended, AT_ONCE, async ({ id: runId, lastLeaseId }) => {
    if (lastLeaseId === null) return
    findings.seen.leases += 1
    try {
      const { status, vmId, remainSeconds } = await driver.getLease(lastLeaseId, signal)
      if (status !== 'running' && status !== 'pending') return
      findings.add({
        code: 'lease-of-ended-run',
        subject: lastLeaseId,
        runId,
        platformId: platform.id,
        message: `locks VM ${vmId} for ${remainSeconds} s more`,
        takeAway: async stop => {
          await driver.releaseLease(lastLeaseId, stop)
          return true
        },
      })
    } catch (error) {
      if (!hasCode(error, 'LEASE_LOST')) throw error
    }
  })
}

interface Remains {
  readonly runId: string
  readonly vm: PlatformVm
  readonly snapshot: { readonly id: string; readonly name: string } | null
}

async function checkVms(lately: ReadonlySet<string>, on: OnPlatform): Promise<void> {
  const { driver, findings, signal } = on
  for await (const { vms, asked } of chosenVms(lately, on)) {
    const remains: Remains[] = []
    for (const vm of vms) {
      findings.seen.vms += 1
      const runId = runOfVm(vm)
      if (runId !== null) remains.push({ runId, vm, snapshot: null })
    }
    await eachOf(asked, AT_ONCE, async vm => {
      for (const snapshot of await snapshotsOf(vm, driver, signal)) {
        findings.seen.snapshots += 1
        const runId = runOfSnapshot(snapshot.name)
        if (runId !== null) remains.push({ runId, vm, snapshot })
      }
    })
    await judge(remains, on)
  }
}

/** VMs in parts, and those of them whose snapshots are asked for: a request each. */
async function* chosenVms(
  lately: ReadonlySet<string>,
  { driver, check, inUse, signal }: OnPlatform,
): AsyncGenerator<{ readonly vms: readonly PlatformVm[]; readonly asked: readonly PlatformVm[] }> {
  // Which others: by the time, so that every instance takes its turn with them all.
  const turn = Math.floor(Date.parse(check.createdAt) / 60_000) * OTHERS_PER_LOOK
  const others: PlatformVm[] = []
  for await (const vms of batches(driver.listVms(signal), VMS_PER_BATCH)) {
    if (isWhole(check)) {
      yield { vms, asked: vms }
      continue
    }
    const asked = vms.filter(({ id }) => lately.has(id) || inUse.has(id))
    others.push(...vms.filter(vm => !asked.includes(vm)))
    yield { vms, asked }
  }
  if (others.length === 0) return
  const from = turn % others.length
  yield { vms: [], asked: [...others, ...others].slice(from, from + Math.min(OTHERS_PER_LOOK, others.length)) }
}

async function snapshotsOf(vm: PlatformVm, driver: PlatformDriver, signal: AbortSignal): ReturnType<PlatformDriver['listSnapshots']> {
  try {
    return await driver.listSnapshots(vm.id, SNAPSHOT_PREFIX, signal)
  } catch (error) {
    // Gone since it was listed.
    if (hasCode(error, 'VM_NOT_FOUND')) return []
    throw error
  }
}

async function judge(remains: readonly Remains[], on: OnPlatform): Promise<void> {
  const { catalog, driver, platform, findings, isInUse } = on
  const ids = [...new Set(remains.map(({ runId }) => runId))]
  const runs = new Map<string, RunFacts>()
  for await (const some of batches(ids, 1000)) for (const run of await catalog.runFacts(some)) runs.set(run.id, run)
  for (const { runId, vm, snapshot } of remains) {
    const run = runs.get(runId)
    const about = { runId: run === undefined ? null : runId, platformId: platform.id }
    const when = run === undefined ? `run ${runId} is not known` : `${run.kind} ${run.outcome} at ${run.endedAt}`
    if (snapshot !== null) {
      const code = judgeSnapshot(run)
      if (code === null) continue
      findings.add({
        ...about,
        code,
        subject: snapshot.id,
        message: `snapshot ${snapshot.name} of VM ${vm.name} (${vm.id}): ${when}`,
        // A run under way on the VM comes first: deleting merges layers under it.
        takeAway: async stop => {
          if (await isInUse(vm.id)) return false
          await driver.deleteSnapshot(vm.id, snapshot.id, stop)
          return true
        },
      })
      continue
    }
    const code = judgeMadeVm(run, vm)
    if (code === null) continue
    if (code === 'second-vm-of-restore' && !(await isMadeTwice(vm, runId, on))) continue
    findings.add({
      ...about,
      code,
      subject: vm.id,
      message: `VM ${vm.name} (${vm.power}): ${when}`,
      // Nobody but a person turns such a VM on: then it is not ours to delete.
      takeAway: async stop => {
        if (code !== 'vm-of-failed-restore' || run === undefined) return false
        const why = whyKept(run, Date.now())
        if (why !== null) return why
        const now = await driver.getVm(vm.id, stop)
        if ((await isInUse(vm.id)) || now.power !== 'off' || runOfVm(now) !== runId) return false
        await driver.deleteVm(vm.id, stop)
        return true
      },
    })
  }
}

/** A VM made twice has the name that the restore gives; one of another name is a copy. The only one is the restored VM itself, moved to another id. */
async function isMadeTwice(vm: PlatformVm, runId: string, { catalog, driver, signal }: OnPlatform): Promise<boolean> {
  const run = await catalog.getRunForWork(runId)
  if (run.targetPlatformVmId === null || vm.name !== restoredVmName(run)) return false
  try {
    await driver.getVm(run.targetPlatformVmId, signal)
    return true
  } catch (error) {
    if (hasCode(error, 'VM_NOT_FOUND')) return false
    throw error
  }
}
