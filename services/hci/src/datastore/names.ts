import { DatastoreError } from './errors.ts'

/** The files of a VM's folder. */
export const VM_FILE = 'vm.json'

export function baseName(diskId: string): string {
  return `${diskId}.img`
}

/** `generation` grows when a revert empties the overlay; 0 is not shown. */
export function overlayName(diskId: string, snapshotId: string, generation: number): string {
  return `${diskId}-${snapshotId}${generation === 0 ? '' : `.${generation}`}.overlay`
}

/** The grain map beside a layer's data file. */
export function mapName(layer: string): string {
  return `${layer}.map`
}

export function cbtName(diskId: string): string {
  return `${baseName(diskId)}.cbt.version`
}

export function bitmapName(diskId: string): string {
  return `${baseName(diskId)}.bitmap`
}

/** The bitmap of the interval before a snapshot, until the CBT file has absorbed it. */
export function foldingName(diskId: string): string {
  return `${bitmapName(diskId)}.folding`
}

/** Is this a file that the datastore makes (and may remove when nothing refers to it)? */
export function isDatastoreFile(name: string): boolean {
  return /\.(img|overlay)(\.\d+)?(\.map)?$|\.img\.(bitmap|cbt\.version)(\.(folding|next|new))?$|^vm\.json\.new$/.test(name)
}

const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/

/** Ids become file names. @throws DatastoreError ID_INVALID */
export function checkId(id: string, what: string): void {
  if (!ID.test(id)) throw new DatastoreError('ID_INVALID', `not a usable ${what} id`, { id: id.slice(0, 200) })
}
