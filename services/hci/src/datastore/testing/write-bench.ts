import fs from 'node:fs'
import os from 'node:os'
import { openDatastore } from '../open-datastore.ts'

/**
 * What tracking costs a guest: writes per second with CBT off and on, in turns. Prints one JSON line.
 *
 *     node dist/datastore/testing/write-bench.js [folder]
 */
const SIZE = 512 * 2 ** 20
const folder = fs.mkdtempSync(`${process.argv[2] ?? os.tmpdir()}/varve-writes-`)

const median = (values: number[]): number => values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!

try {
  const store = await openDatastore(folder)
  const { id } = await store.createVm({ name: 'w', config: {}, disks: [{ id: 'ide0', size: SIZE }] })
  const disk = await store.openDisk(id, 'ide0')
  for (let at = 0; at < SIZE; at += 4 * 2 ** 20) await disk.write(at, Buffer.alloc(4 * 2 ** 20, 1), false)

  /** MB/s of `count` writes of `length` bytes at a depth of 16. */
  const run = async (length: number, count: number, order: (i: number) => number): Promise<number> => {
    const bytes = Buffer.alloc(length, 3)
    const started = performance.now()
    let next = 0
    const lane = async (): Promise<void> => {
      for (let i = next++; i < count; i = next++) await disk.write(order(i) * length, bytes, false)
    }
    await Promise.all(Array.from({ length: 16 }, lane))
    return (length * count) / 1e3 / (performance.now() - started)
  }
  // A multiplier without common factors visits every block once, in no order.
  const random = (length: number) => (i: number) => (i * 40_503) % (SIZE / length)
  const kinds: Record<string, () => Promise<number>> = {
    'random 4 KiB': () => run(4096, 30_000, random(4096)),
    'random 64 KiB': () => run(65536, 4000, random(65536)),
    'sequential 1 MiB': () => run(2 ** 20, 512, i => i),
  }
  const rates: Record<string, { off: number; on: number; ratio: number }> = {}
  for (const [name, work] of Object.entries(kinds)) {
    const off: number[] = []
    const on: number[] = []
    await work()
    for (let round = 0; round < 7; round++) {
      off.push(await work())
      // A fresh bitmap each time, so that the first write to each granule pays for its bit.
      await store.setCbt(id, 'enable')
      on.push(await work())
      await store.setCbt(id, 'disable')
    }
    const [a, b] = [median(off), median(on)]
    rates[name] = { off: Math.round(a), on: Math.round(b), ratio: Math.round((b / a) * 100) / 100 }
  }
  await store.close()
  console.log(JSON.stringify(rates))
} finally {
  fs.rmSync(folder, { recursive: true, force: true })
}
