import { Buffer } from 'node:buffer'

/** One member of an initramfs: a folder, a file, or a device node. */
export interface Member {
  readonly path: string
  readonly mode: number
  readonly bytes?: Uint8Array
  readonly device?: readonly [major: number, minor: number]
}

export const FOLDER = 0o040755
export const EXECUTABLE = 0o100755
export const CHARACTER_DEVICE = 0o020600

/**
 * An initramfs archive, cpio "newc": a 110-byte ASCII header of 8-digit hex fields, the name, the data, each padded to 4
 * (kernel documentation, driver-api/early-userspace/buffer-format).
 */
export function newcArchive(members: readonly Member[]): Buffer {
  const parts: Uint8Array[] = []
  const pad = (length: number): void => {
    if (length % 4 !== 0) parts.push(Buffer.alloc(4 - (length % 4)))
  }
  const add = ({ path, mode, bytes = Buffer.alloc(0), device = [0, 0] }: Member, inode: number): void => {
    const name = Buffer.from(`${path}\0`)
    const fields = [inode, mode, 0, 0, 1, 0, bytes.length, 0, 0, device[0], device[1], name.length, 0]
    const header = Buffer.from(`070701${fields.map(field => field.toString(16).padStart(8, '0')).join('')}`)
    parts.push(header, name)
    pad(header.length + name.length)
    parts.push(bytes)
    pad(bytes.length)
  }
  members.forEach((member, index) => {
    add(member, index + 1)
  })
  add({ path: 'TRAILER!!!', mode: 0 }, 0)
  return Buffer.concat(parts)
}
