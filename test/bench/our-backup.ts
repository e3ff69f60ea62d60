import type { BackupOptions } from '@varve/catalog-client'
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
  return { ...measured, ...(await since()), wall: runSeconds(run), read: run.totals.read, stored: run.totals.written }
}
