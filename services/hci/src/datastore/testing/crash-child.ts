import fs from 'node:fs'
import { createInterface } from 'node:readline'
import { NbdError, startNbdServer } from '@varve/nbd'
import { DatastoreError } from '../errors.ts'
import { openDatastore } from '../open-datastore.ts'
import type { StepName } from '../step.ts'

/**
 * The process that the crash test kills: a datastore served over NBD, driven by JSON lines on stdin.
 *
 *     node crash-child.js <folder> <socket> [<step> <nth time>]
 *
 * Exports: `<vm>/<disk>` live, `<vm>/<disk>/<snapshot>` read-only. With a step it kills itself there.
 */
const [folder, socket, stepName, nth] = process.argv.slice(2) as [string, string, StepName | undefined, string | undefined]

let seen = 0
const store = await openDatastore(folder, {
  cachePages: 4,
  mergeRate: 30 * 2 ** 20,
  crashAt(step) {
    if (step === stepName && ++seen === Number(nth)) process.kill(process.pid, 'SIGKILL')
  },
})
fs.rmSync(socket, { force: true })
await startNbdServer({
  listen: { path: socket },
  exports: {
    open(name) {
      const [vm, disk, snapshot] = name.split('/')
      if (vm === undefined || disk === undefined) throw new NbdError('NBD_EXPORT_UNKNOWN', name)
      return snapshot === undefined ? store.openDisk(vm, disk) : store.openSnapshotDisk(vm, snapshot, disk)
    },
  },
})

/** What the parent can ask for. */
export type ChildRequest =
  | { readonly op: 'create'; readonly disks: readonly { readonly id: string; readonly size: number }[] }
  | { readonly op: 'vm'; readonly vm: string }
  | { readonly op: 'snapshot'; readonly vm: string; readonly name: string }
  | { readonly op: 'delete'; readonly vm: string; readonly snapshot: string }
  | { readonly op: 'revert'; readonly vm: string; readonly snapshot: string }
  | { readonly op: 'cbt'; readonly vm: string; readonly change: 'enable' | 'disable' | 'reset' }
  | { readonly op: 'areas'; readonly vm: string; readonly disk: string; readonly snapshot: string; readonly checkpoint: string }
  | { readonly op: 'close' }

async function answer(request: ChildRequest): Promise<unknown> {
  switch (request.op) {
    case 'create':
      return await store.createVm({ name: 'crash', config: {}, disks: request.disks })
    case 'vm':
      return store.getVm(request.vm)
    case 'snapshot':
      return await store.createSnapshot(request.vm, { name: request.name })
    case 'delete':
      return await store.deleteSnapshot(request.vm, request.snapshot)
    case 'revert':
      return await store.revertSnapshot(request.vm, request.snapshot)
    case 'cbt':
      return await store.setCbt(request.vm, request.change)
    case 'areas':
      return await store.changedAreas({
        vmId: request.vm,
        diskId: request.disk,
        snapshotId: request.snapshot,
        checkpointId: BigInt(request.checkpoint),
        startOffset: 0,
        maxAreas: 1e6,
      })
    case 'close':
      return await store.close()
  }
}

const reply = (value: unknown): void => {
  fs.writeSync(1, `${JSON.stringify(value)}\n`)
}
reply({ ready: true })
for await (const line of createInterface({ input: process.stdin })) {
  const { id, request } = JSON.parse(line) as { id: number; request: ChildRequest }
  answer(request).then(
    result => reply({ id, result: result ?? null }),
    error => reply({ id, error: error instanceof DatastoreError ? error.code : String(error?.stack ?? error) }),
  )
}
process.exit(0)
