import { Bench } from 'tinybench'
import { microTasks } from '../micro-tasks.ts'
import type { Subject } from '../subject.ts'

/** The parts by themselves, on one core: where to look when one of the big figures has moved. No targets. */
export const micro: Subject = {
  name: 'micro',
  about: 'NBD codec, bitmap, block map, zero test, hash, compression, packs, SigV4, each by itself',
  rounds: 1,

  async open(parts) {
    const time = parts.settings.quick ? 100 : 500
    return async () => {
      for (const { name, bytes, run } of microTasks()) {
        const bench = new Bench({ time, warmupTime: time / 5 }).add(name, run)
        await bench.run()
        const result = bench.tasks[0]?.result
        if (result?.error !== undefined) throw result.error
        // The mean: what is counted is work, and collecting garbage is part of it.
        const wall = (result?.mean ?? Number.NaN) / 1000
        parts.samples.add(`micro: ${name}`, {
          wall,
          cpu: 0,
          serverCpu: 0,
          otherCpu: 0,
          peak: 0,
          calls: 1 / wall,
          mibs: bytes / 2 ** 20 / wall,
        })
      }
    }
  },

  targets: () => [],
}
