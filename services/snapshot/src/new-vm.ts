import type { Catalog, RestoreOptions, RunForWork } from '@varve/catalog-client'
import { errorReport } from '@varve/errors'
import type { PlatformDriver, VmConfig } from '@varve/platform'

/**
 * What stands in `resources.createdVmId` while the platform makes the VM and its id is not known: whoever cleans up learns the id
 * by asking for the same creation again, which the platform answers with the VM that is there (client token).
 */
const UNKNOWN_YET = 'creating'

/** The new VM of a restore, made at the first call. The intent is in the catalog before the VM exists. */
export async function makeVm(
  run: RunForWork,
  config: VmConfig,
  { platform, catalog, signal }: { readonly platform: PlatformDriver; readonly catalog: Catalog; readonly signal: AbortSignal },
): Promise<string> {
  const { createdVmId } = run.resources
  if (createdVmId !== null && createdVmId !== UNKNOWN_YET) return createdVmId
  // The saved configuration goes with the run, for the clean-up.
  await catalog.recordSnapshot(run.id, { checkpointId: '0', config })
  await catalog.recordResources(run.id, { createdVmId: UNKNOWN_YET })
  const vmId = await platform.createVm(config, newVmName(run), run.id, signal)
  await catalog.recordResources(run.id, { createdVmId: vmId })
  return vmId
}

/** The VM that this run made, null when it made none. */
export async function createdVm(run: RunForWork, platform: PlatformDriver, signal: AbortSignal): Promise<string | null> {
  const { createdVmId } = run.resources
  if (createdVmId !== UNKNOWN_YET) return createdVmId
  if (run.config === null) return null
  try {
    return await platform.createVm(run.config, newVmName(run), run.id, signal)
  } catch (error) {
    // It was refused, and so it is now: there is nothing to delete.
    if (errorReport(error).retryable) throw error
    return null
  }
}

function newVmName(run: RunForWork): string {
  const { name } = run.options as RestoreOptions
  // 2026-11-22T23:25:31.000Z -> 20261122-232531
  const time = run.createdAt.slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-')
  return name ?? `${run.vmName}-restored-${time}`
}
