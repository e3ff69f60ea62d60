import { type Catalog, ENDED_STATES, type RestoreOptions, type RunForWork, restoredVmName } from '@varve/catalog-client'
import { errorReport, hasCode } from '@varve/errors'
import { carriesToken, type PlatformDriver, type VmConfig } from '@varve/platform'

/** What stands in `resources.createdVmId` while the platform was asked for the VM and has not told its id. */
const UNKNOWN_YET = 'creating'

interface Context {
  readonly platform: PlatformDriver
  readonly catalog: Catalog
  readonly signal: AbortSignal
  /** Gets the ids of the VMs that the platform made for this very call. */
  readonly made: Set<string>
}

/**
 * The new VM of a restore, made at the first call. The intent is in the catalog before the platform is asked, the id before the VM is made.
 * May be busy: an earlier attempt's creation may be under way.
 */
export async function makeVm(run: RunForWork, config: VmConfig, { platform, catalog, signal, made }: Context): Promise<string> {
  const { createdVmId } = run.resources
  if (createdVmId !== null) {
    const there = await findVm(run, platform, signal)
    if (there !== null) return recorded(run.id, there, catalog)
  }
  // The saved configuration goes with the run, for the clean-up.
  await catalog.recordSnapshot(run.id, { checkpointId: '0', config })
  if (createdVmId === null) await catalog.recordResources(run.id, { createdVmId: UNKNOWN_YET })
  const record = async (vmId: string): Promise<void> => {
    try {
      await catalog.recordResources(run.id, { createdVmId: vmId })
    } catch (error) {
      // Over meanwhile: what is on its way is waited for, since only a VM that is there can be deleted.
      if (!hasCode(error, 'RUN_ENDED')) throw error
    }
  }
  const vmId = await platform.createVm(config, restoredVmName(run), run.id, signal, record)
  made.add(vmId)
  return recorded(run.id, vmId, catalog)
}

async function recorded(runId: string, vmId: string, catalog: Catalog): Promise<string> {
  await catalog.recordResources(runId, { createdVmId: vmId })
  return vmId
}

/**
 * The VM that this run made, null when it made none. One whose creation may still be under way is waited for by asking for the
 * same creation again: under the same token the platform goes on with the first. Should it have forgotten the token, a second VM is made, only to be deleted.
 */
export async function createdVm(run: RunForWork, platform: PlatformDriver, signal: AbortSignal): Promise<string | null> {
  if (!mayHaveMade(run)) return null
  // A target is one whose creation was seen to end.
  if (run.targetPlatformVmId !== null) return run.targetPlatformVmId
  const there = await findVm(run, platform, signal)
  if (there !== null || run.config === null) return there
  let accepted: string | null = null
  const note = (vmId: string): void => {
    accepted = vmId
  }
  try {
    return await platform.createVm(run.config, restoredVmName(run), run.id, signal, note)
  } catch (error) {
    if (errorReport(error).retryable && !hasCode(error, 'TASK_FAILED')) throw error
    // It failed or was refused: at most its remains are there.
    return accepted ?? findVm(run, platform, signal)
  }
}

/** The intent is recorded before the platform is asked. Of a run that has ended it is struck off; whoever comes late may have asked again. */
function mayHaveMade(run: RunForWork): boolean {
  if (run.resources.createdVmId !== null) return true
  return ENDED_STATES.includes(run.state) && run.config !== null && (run.options as RestoreOptions).target === 'new-vm'
}

/** By the id that was recorded, or by the token in its description. */
async function findVm(run: RunForWork, platform: PlatformDriver, signal: AbortSignal): Promise<string | null> {
  const { createdVmId } = run.resources
  if (createdVmId !== null && createdVmId !== UNKNOWN_YET) {
    try {
      return (await platform.getVm(createdVmId, signal)).id
    } catch (error) {
      if (!hasCode(error, 'VM_NOT_FOUND')) throw error
    }
  }
  for await (const vm of platform.listVms(signal)) if (carriesToken(vm, run.id)) return vm.id
  return null
}
