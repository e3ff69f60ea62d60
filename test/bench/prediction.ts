import { setTimeout as sleep } from 'node:timers/promises'
import type { Prediction, Run } from '@varve/catalog-client'
import { formatBytes, formatDuration, MiB } from '@varve/runtime'
import { noise } from '../support/pattern.ts'
import { startSystem } from '../support/system.ts'

/*
 * What is expected of a run against what it then does, round by round, on one machine: the first rounds have little to go by, from the third on the time should
 * be right within 30 %. Each round: change some of the disk, preview, incremental; preview, full; preview, restore to a new VM.
 *
 *     npm run build && node test/dist/bench/prediction.js [rounds] [MiB of disk]
 */

const rounds = Number(process.argv[2] ?? 5)
const size = Number(process.argv[3] ?? 1024) * MiB
const PIECE = MiB / 16

type Told = Run & { readonly prediction: Prediction | null }

const system = await startSystem()
try {
  const { vmId, platformVmId } = await system.createVm('bench', [{ id: 'virtio0', size }])
  const disk = await system.guest(platformVmId, 'virtio0')
  for (let at = 0; at < size / 2; at += 4 * MiB) await disk.write(at, noise(`at ${at}`, 4 * MiB))
  console.log('round  run          read expected / actual        time expected / actual     off')
  for (let round = 1; round <= rounds; round++) {
    for (let i = 0; i < size / 100 / PIECE; i++) {
      await disk.write(Math.floor((i * 7919 * 16 + round) % (size / PIECE)) * PIECE, noise(`round ${round}, piece ${i}`, PIECE))
    }
    await disk.flush()
    const incremental = await measured('incremental', `/v1/vms/${vmId}/backups`, {})
    await measured('full', `/v1/vms/${vmId}/backups`, { full: true })
    const restore = await measured('restore', `/v1/restore-points/${incremental.restorePointId}/restores`, {
      target: 'new-vm',
      name: `copy-${round}`,
    })
    if (restore.targetPlatformVmId !== null) await system.driver.deleteVm(restore.targetPlatformVmId)

    async function measured(name: string, path: string, options: object): Promise<Run> {
      const preview = await system.api<Told>('POST', `${path}/preview?wait=60`, options)
      const run = await ended(await system.api<Run>('POST', path, options))
      const took = (Date.parse(run.endedAt ?? '') - Date.parse(run.startedAt ?? '')) / 1000
      const { read = 0, seconds = 0 } = preview.prediction ?? {}
      const off = `${(((seconds - took) / took) * 100).toFixed(0)} %`
      console.log(
        `${String(round).padEnd(6)} ${name.padEnd(12)} ${formatBytes(read).padStart(10)} / ${formatBytes(run.totals.read).padEnd(10)} ${read === run.totals.read ? 'same ' : 'OTHER'}` +
          `  ${formatDuration(seconds * 1000).padStart(10)} / ${formatDuration(took * 1000).padEnd(10)}  ${off.padStart(6)}`,
      )
      return run
    }
  }
} finally {
  await system.close()
}

/** Polled rarely, so that looking costs the measured run nothing. */
async function ended(run: Run): Promise<Run> {
  for (;;) {
    const now = await system.api<Run>('GET', `/v1/runs/${run.id}`)
    if (now.endedAt !== null) return now
    await sleep(200)
  }
}
