import fs from 'node:fs'
import { fromSystem } from './errors.ts'

/** Fill `target` from a file; what lies past its end is zeros. */
export async function readFull(fd: number, target: Uint8Array, position: number): Promise<void> {
  let done = 0
  while (done < target.length) {
    const n = await new Promise<number>((resolve, reject) => {
      fs.read(fd, target, done, target.length - done, position + done, (error, bytes) => (error ? reject(error) : resolve(bytes)))
    })
    if (n === 0) {
      target.fill(0, done)
      return
    }
    done += n
  }
}

/** Write all bytes. @throws DatastoreError DATASTORE_FULL */
export async function writeFull(fd: number, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0
  while (done < bytes.length) {
    done += await new Promise<number>((resolve, reject) => {
      fs.write(fd, bytes, done, bytes.length - done, position + done, (error, n) => (error ? reject(fromSystem(error)) : resolve(n)))
    })
  }
}

/** `readFull`, at once: for the few bytes of a map page (2 µs from the page cache, where a trip through the thread pool takes 40). */
export function readFullSync(fd: number, target: Uint8Array, position: number): void {
  let done = 0
  while (done < target.length) {
    const n = fs.readSync(fd, target, done, target.length - done, position + done)
    if (n === 0) {
      target.fill(0, done)
      return
    }
    done += n
  }
}

/** `writeFull`, at once. @throws DatastoreError DATASTORE_FULL */
export function writeFullSync(fd: number, bytes: Uint8Array, position: number): void {
  try {
    let done = 0
    while (done < bytes.length) done += fs.writeSync(fd, bytes, done, bytes.length - done, position + done)
  } catch (error) {
    throw fromSystem(error)
  }
}

/** Make the contents of a file durable. */
export async function syncFile(fd: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    fs.fdatasync(fd, error => (error ? reject(fromSystem(error)) : resolve()))
  })
}

/** Make the names in a folder durable. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await fs.promises.open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Replace a file in one step: readers and a crash see the old text or the new one. Durable when resolved. */
export async function replaceFile(path: string, text: string, folder: string): Promise<void> {
  const temporary = `${path}.new`
  try {
    const handle = await fs.promises.open(temporary, 'w')
    try {
      await handle.writeFile(text)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await fs.promises.rename(temporary, path)
    await syncFolder(folder)
  } catch (error) {
    throw fromSystem(error)
  }
}
