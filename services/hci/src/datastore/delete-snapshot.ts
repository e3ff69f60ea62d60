import { granuleCount } from '@varve/cbt'
import { Chain } from './chain.ts'
import { type Layer, removeLayerFiles } from './layer.ts'
import type { LiveDisk } from './live-disk.ts'
import { mergeLayer } from './merge-layer.ts'
import type { Vm } from './vm.ts'

export interface DeleteOptions {
  readonly signal?: AbortSignal
  readonly onProgress?: (fraction: number) => void
}

/**
 * Delete a snapshot: what was written since it (its overlay, on each disk) goes down into the layer below.
 *
 *     mark     vm.json: deleting. Its disks can't be opened any more, open ones fail, its overlay takes no new grains
 *     merge    grain by grain, the guest writes on (merge-layer.ts)
 *     commit   vm.json without the snapshot
 *     remove   the empty overlays, when no request uses them any more
 *
 * Killed or aborted anywhere, calling it again goes on.
 */
export async function deleteSnapshot(vm: Vm, snapshotId: string, options: DeleteOptions): Promise<void> {
  const { generation } = vm.snapshot(snapshotId, true)
  const signal = options.signal === undefined ? vm.closing.signal : AbortSignal.any([options.signal, vm.closing.signal])
  await vm.merges.run(async () => {
    // Another call may have finished it while this one waited.
    if (!vm.state.snapshots.some(snapshot => snapshot.id === snapshotId)) return
    signal.throwIfAborted()
    await vm.changes.run(() => mark(vm, snapshotId))
    vm.deps.step('merge-marked')
    const layers = overlaysOf(vm, snapshotId)
    const started = performance.now()
    const total = layers.reduce((sum, { disk, layer }) => sum + countGrains(layer, disk.size), 0)
    let done = 0
    for (const { disk, layer } of layers) {
      await mergeLayer(disk, layer, {
        rate: vm.deps.mergeRate,
        signal,
        step: vm.deps.step,
        onMerged: grains => {
          done += grains
          options.onProgress?.(total === 0 ? 1 : Math.min(1, done / total))
        },
      })
    }
    vm.deps.step('merge-drained')
    await vm.changes.run(() => commit(vm, snapshotId, layers))
    for (const { disk } of layers) await removeLayerFiles(vm.overlayPath(disk.id, { id: snapshotId, generation }), disk.size)
    options.onProgress?.(1)
    vm.log.info({ snapshotId, grains: done, ms: Math.round(performance.now() - started) }, 'snapshot deleted')
  })
}

interface Overlay {
  readonly disk: LiveDisk
  readonly layer: Layer
}

function overlaysOf(vm: Vm, snapshotId: string): Overlay[] {
  return [...vm.disks.values()].flatMap(disk => {
    const layer = disk.chain.layers.find(candidate => candidate.snapshotId === snapshotId)
    return layer === undefined ? [] : [{ disk, layer }]
  })
}

async function mark(vm: Vm, snapshotId: string): Promise<void> {
  if (vm.snapshot(snapshotId, true).deleting) return
  // While writes are held, so that each one is planned wholly before or wholly after.
  await vm.gate.hold()
  try {
    await vm.commit({ ...vm.state, snapshots: vm.state.snapshots.map(s => (s.id === snapshotId ? { ...s, deleting: true } : s)) })
    for (const { layer } of overlaysOf(vm, snapshotId)) layer.draining = true
  } finally {
    vm.gate.resume()
  }
}

/** Drop the snapshot from the record and its (empty) overlays from the chains. */
async function commit(vm: Vm, snapshotId: string, layers: readonly Overlay[]): Promise<void> {
  // The layers below are durable: mergeLayer synced them before it cleared the last bit.
  await vm.commit({ ...vm.state, snapshots: vm.state.snapshots.filter(snapshot => snapshot.id !== snapshotId) })
  vm.deps.step('merge-committed')
  for (const { disk, layer } of layers) {
    const old = disk.chain
    disk.chain = new Chain(
      old.layers.filter(candidate => candidate !== layer),
      old,
    )
    await old.idle()
    await layer.close()
  }
}

function countGrains(layer: Layer, size: number): number {
  const count = granuleCount(size)
  let total = 0
  for (let run = layer.map.map.nextRun(0, count); run !== undefined; run = layer.map.map.nextRun(run.to, count)) total += run.to - run.from
  return total
}
