import type { BackupOptions, Run } from '@varve/catalog-client'
import { type Measured, measureProcesses } from './measure.ts'
import { storeCounts } from './our-repository.ts'
import { runSeconds } from './our-system.ts'
import type { Parts, Target } from './parts.ts'

/** One backup by a standalone Varve, from the call to sealed. */
export async function ourBackup(parts: Parts, target: Target, vmId: string, options: BackupOptions): Promise<Measured> {
  const { [target]: system, platform } = await parts.ours()
  const since = await storeCounts(parts, target)
  const servers = [platform.pid, ...(target === 's3' ? [parts.minio.pid] : [])]
  const { measured, result: run } = await measureProcesses({ own: [system.pid], servers }, () => system.backup(vmId, options))
  parts.tell(`  ${stepsOf(run)}`)
  return { ...measured, ...(await since()), wall: runSeconds(run), read: run.totals.read, stored: run.totals.written }
}

/** Where a run's time went, from step to step. */
function stepsOf({ createdAt, startedAt, plannedAt, copiedAt, endedAt }: Run): string {
  const steps = { waiting: startedAt, preparing: plannedAt, copying: copiedAt, 'sealing and finishing': endedAt }
  let since = Date.parse(createdAt)
  return Object.entries(steps)
    .flatMap(([name, until]) => {
      if (until === null) return []
      const ms = Date.parse(until) - since
      since += ms
      return `${name} ${ms} ms`
    })
    .join(', ')
}
