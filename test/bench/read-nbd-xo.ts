import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

/** Read a whole export to nowhere with Xen Orchestra's client: one connection, blocks of 2 MiB, as many ahead as it takes by itself. `read-nbd-xo.js FOLDER PORT` */
const [, , folder = '', port] = process.argv
const { default: MultiNbdClient } = (await import(pathToFileURL(join(folder, 'multi.mjs')).href)) as {
  default: new (
    settings: { address: string; port: number; exportname: string },
    options: { nbdConcurrency: number },
  ) => {
    readonly exportSize: bigint
    connect(): Promise<void>
    readBlocks(indexes: () => Iterable<{ index: number; size: number }>): AsyncIterable<Buffer>
    disconnect(): Promise<void>
  }
}
const BLOCK = 2 * 1024 * 1024
const client = new MultiNbdClient({ address: '127.0.0.1', port: Number(port), exportname: '' }, { nbdConcurrency: 1 })
await client.connect()
const size = Number(client.exportSize)
let read = 0
for await (const block of client.readBlocks(function* () {
  for (let index = 0; index < size / BLOCK; index++) yield { index, size: BLOCK }
}))
  read += block.length
await client.disconnect()
if (read !== Math.ceil(size / BLOCK) * BLOCK && read !== size) throw new Error(`${read} bytes were read of ${size}`)
