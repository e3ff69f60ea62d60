/** Bytes of disk that one bit of a bitmap, one state of a grain map or one version number of a CBT file stands for. */
export const GRANULARITY = 65536

/** Largest disk: with it a granule index still fits the signed 32 bits of JS bit operations. 128 TiB. */
export const MAX_DISK_SIZE = 2 ** 31 * GRANULARITY

/** Granules of a disk; the last one may be shorter than the rest. */
export function granuleCount(diskSize: number): number {
  return Math.ceil(diskSize / GRANULARITY)
}

/** A size a disk can have: whole 512-byte sectors, more than none, at most MAX_DISK_SIZE. */
export function isDiskSize(size: number): boolean {
  return Number.isSafeInteger(size) && size > 0 && size % 512 === 0 && size <= MAX_DISK_SIZE
}
