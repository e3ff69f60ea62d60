/** Give a byte range of a file back to the file system, so that it reads as zeros. False when that is not possible here. */
export type PunchHole = (fd: number, offset: number, length: number) => Promise<boolean>

const FALLOC_FL_KEEP_SIZE = 1
const FALLOC_FL_PUNCH_HOLE = 2

interface ForeignCall {
  async(fd: number, mode: number, offset: number, length: number, done: (error: unknown, result: number) => void): void
}

/**
 * fallocate(2) through koffi. Where koffi, Linux or the file system's support is missing, the answer is always false and
 * callers write zeros instead.
 */
export async function loadPunchHole(): Promise<PunchHole> {
  const fallocate = await loadFallocate()
  if (fallocate === undefined) return async () => false
  let works = true
  return async (fd, offset, length) => {
    if (!works) return false
    const result = await new Promise<number>((resolve, reject) => {
      fallocate.async(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length, (error, value) =>
        error ? reject(error) : resolve(value),
      )
    })
    if (result !== 0) works = false
    return result === 0
  }
}

async function loadFallocate(): Promise<ForeignCall | undefined> {
  if (process.platform !== 'linux') return undefined
  try {
    const { default: koffi } = await import('koffi')
    return koffi.load('libc.so.6').func('int fallocate(int fd, int mode, int64_t offset, int64_t length)') as unknown as ForeignCall
  } catch {
    return undefined
  }
}
