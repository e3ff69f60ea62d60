import type { Catalog, RunForWork } from '@varve/catalog-client'
import type { PlatformDriver, PlatformVm } from '@varve/platform'
import { sleep } from '@varve/runtime'

/** How long a task that a dead attempt of ours began may hold the VM. As long as the driver waits for one without progress. */
const PATIENCE_MS = 600_000
const RETRY_MS = 2000

interface Context {
  readonly platform: PlatformDriver
  readonly catalog: Catalog
  readonly signal: AbortSignal
  readonly retryMs: number | undefined
}

/**
 * The VM. Where an earlier attempt of this run may have left a task of the platform behind (its intent is recorded), that task is waited
 * for, so that what it makes is found; a VM that somebody else keeps busy is not. May still be busy: after ten minutes, or when the run
 * is to end.
 */
export async function vmForRun(
  vmId: string,
  run: RunForWork,
  { platform, catalog, signal, retryMs = RETRY_MS }: Context,
): Promise<PlatformVm> {
  const { snapshotName, createdVmId } = run.resources
  const ours = snapshotName !== null || createdVmId !== null
  const deadline = performance.now() + PATIENCE_MS
  for (;;) {
    const vm = await platform.getVm(vmId, signal)
    if (!vm.busy || !ours || performance.now() > deadline) return vm
    const { state, cancelRequested } = await catalog.getRunForWork(run.id)
    if (state !== 'preparing' || cancelRequested) return vm
    await sleep(retryMs, signal)
  }
}
