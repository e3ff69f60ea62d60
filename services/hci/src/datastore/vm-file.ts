import fs from 'node:fs'
import { isDiskSize, MAX_U32, parseCheckpoint } from '@varve/cbt'
import Type, { type Static } from 'typebox'
import { Value } from 'typebox/value'
import type { VmRecord } from './datastore.ts'
import { DatastoreError } from './errors.ts'
import { replaceFile } from './file-io.ts'
import { VM_FILE } from './names.ts'

const Id = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$' })
const U32 = Type.Integer({ minimum: 0, maximum: MAX_U32 })

/** Of this very disk and no other; disks of before there were serials have none. */
const Serial = Type.Optional(Type.String({ pattern: '^[0-9a-f]{20}$' }))

const DiskState = Type.Object({
  id: Id,
  size: Type.Integer({ minimum: 512 }),
  cbt: Type.Boolean(),
  cbtExpired: Type.Boolean(),
  /** The same as in the header of the CBT file that belongs to the disk; empty while CBT is off. */
  trackingId: Type.String({ pattern: '^([0-9a-f]{32})?$' }),
  serial: Serial,
})

const SnapshotState = Type.Object({
  id: Id,
  name: Type.String(),
  description: Type.String(),
  createdAt: Type.String(),
  checkpointId: Type.String({ pattern: '^[0-9]{1,20}$' }),
  config: Type.Record(Type.String(), Type.Unknown()),
  disks: Type.Array(Type.Object({ id: Id, size: Type.Integer({ minimum: 512 }), serial: Serial })),
  pauseMs: Type.Number(),
  /** Its overlay is being merged down; it can't be read any more. */
  deleting: Type.Boolean(),
  /** Part of the overlay's name: a revert to this snapshot starts a new one. */
  generation: Type.Integer({ minimum: 0 }),
})

const VmState = Type.Object({
  format: Type.Literal(1),
  id: Id,
  name: Type.String(),
  power: Type.Union([Type.Literal('on'), Type.Literal('off')]),
  createdAt: Type.String(),
  config: Type.Record(Type.String(), Type.Unknown()),
  /** The two halves of the newest checkpoint id; version 0 = CBT was never on. */
  versionId: U32,
  incId: U32,
  disks: Type.Array(DiskState),
  /** Oldest first. The layers of a disk are its base and one overlay for each of these that has the disk, in this order. */
  snapshots: Type.Array(SnapshotState),
})

export type DiskState = Readonly<Static<typeof DiskState>>
export type SnapshotState = Readonly<Static<typeof SnapshotState>>
/** What `vm.json` holds. Replaced as a whole: the commit point of everything that happens to a VM. */
export type VmState = Readonly<Omit<Static<typeof VmState>, 'disks' | 'snapshots'>> & {
  readonly disks: readonly DiskState[]
  readonly snapshots: readonly SnapshotState[]
}

/** @throws DatastoreError DATASTORE_DAMAGED */
export function readVmState(folder: string): VmState {
  const path = `${folder}/${VM_FILE}`
  let value: unknown
  try {
    value = JSON.parse(fs.readFileSync(path, 'utf8'))
  } catch (cause) {
    throw new DatastoreError('DATASTORE_DAMAGED', 'vm.json can not be read', { path }, { cause })
  }
  if (!Value.Check(VmState, value)) {
    const fault = [...Value.Errors(VmState, value)][0]
    throw new DatastoreError('DATASTORE_DAMAGED', 'vm.json is not what it should be', {
      path,
      at: fault?.instancePath,
      why: fault?.message,
    })
  }
  for (const disk of value.disks) {
    if (!isDiskSize(disk.size)) throw new DatastoreError('DATASTORE_DAMAGED', 'vm.json has an impossible disk size', { path })
  }
  for (const snapshot of value.snapshots) parseCheckpoint(snapshot.checkpointId)
  return value
}

/** Durable when resolved. */
export async function writeVmState(folder: string, state: VmState): Promise<void> {
  await replaceFile(`${folder}/${VM_FILE}`, `${JSON.stringify(state, null, 2)}\n`, folder)
}

/** The public part. */
export function recordOf(state: VmState): VmRecord {
  const { id, name, power, createdAt, config } = state
  return {
    id,
    name,
    power,
    createdAt,
    config,
    disks: state.disks.map(disk => ({ id: disk.id, size: disk.size, cbt: disk.cbt, cbtExpired: disk.cbtExpired })),
    snapshots: state.snapshots.map(({ generation: _, ...snapshot }) => snapshot),
  }
}
