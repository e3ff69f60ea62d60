import { serveLane } from '../serve-lane.ts'

const SPAN = 256 * 1024

/** A lane for tests: reads the whole disk. */
serveLane(async (_task, { disk, signal, onProgress }) => {
  const bytes = Buffer.alloc(disk.size)
  for (let offset = 0; offset < disk.size; offset += SPAN) {
    signal.throwIfAborted()
    await disk.readInto(offset, bytes.subarray(offset, offset + SPAN))
    onProgress({ read: Math.min(disk.size, offset + SPAN), written: 0 })
  }
  return { read: disk.size, bytes: bytes.toString('base64') }
})
