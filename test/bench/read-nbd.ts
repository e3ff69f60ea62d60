import { connectNbd } from '@varve/nbd'

/** Read a whole export to nowhere, as the block reader does: 2 MiB a read, several in flight, into buffers that are used again. `read-nbd.js PORT [fresh]` */
const [, , port, buffers] = process.argv
// Not from the runtime: loading all of it would be measured too.
const SPAN = 2 * 1024 * 1024
const disk = await connectNbd({ host: '127.0.0.1', port: Number(port), exportName: '' }, { inFlight: 8 })
let next = 0
const work = async (): Promise<void> => {
  const buffer = buffers === 'fresh' ? undefined : Buffer.allocUnsafeSlow(SPAN)
  for (let at = next; at < disk.size; at = next) {
    next += SPAN
    await disk.read(at, Math.min(SPAN, disk.size - at), buffer)
  }
}
await Promise.all(Array.from({ length: 8 }, work))
await disk.close()
