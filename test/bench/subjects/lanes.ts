import { measured, nodeScript } from '../measure.ts'
import { exportDisk } from '../nbd-export.ts'
import type { Subject } from '../subject.ts'

const WAYS = { lanes: 'a lane a connection', pool: 'a pool fed by the main thread' } as const

/** Why workers have lanes (DESIGN.md §10): reading, hashing, compressing and packing on two threads, in two ways. */
export const lanes: Subject = {
  name: 'lanes',
  about: 'two lanes with a connection each against a pool of two threads that the main thread feeds',

  async open(parts) {
    const { port, pid } = await exportDisk(parts)
    return async () => {
      for (const [way, name] of Object.entries(WAYS))
        await parts.sample(`hash, compress and pack on two threads: ${name}`, () =>
          measured(nodeScript('lanes-or-pool', way, String(port)), { servers: [pid] }),
        )
    }
  },

  targets: () => [],
}
