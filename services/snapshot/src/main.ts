import { openParts, WORKER_NEEDS } from '@varve/range-worker'
import { runService } from '@varve/runtime'
import { loadSnapshotConfig } from './config.ts'
import { startSnapshotService } from './start-snapshot.ts'

/** The snapshot service as a process: node dist/main.js [--show-config] */
await runService('snapshot', { readConfig: () => loadSnapshotConfig(process.env), needs: WORKER_NEEDS }, async service => {
  const { config, closer } = service
  const snapshot = await startSnapshotService({
    ...(await openParts(service, { create: true })),
    concurrency: config.VARVE_CONCURRENCY,
    rangeBytes: config.VARVE_RANGE_BYTES,
    renewSeconds: config.VARVE_LEASE_RENEW_SECONDS,
    leaseSeconds: config.VARVE_LEASE_SECONDS,
    readBack: config.VARVE_READ_BACK === 'all' ? 'all' : Number(config.VARVE_READ_BACK),
    inventorySeconds: config.VARVE_INVENTORY_SECONDS,
  })
  closer.add('snapshot', () => snapshot.close())
})
