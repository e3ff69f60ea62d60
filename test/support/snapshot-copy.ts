import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { nbdUri } from './nbd-uri.ts'
import type { System } from './system.ts'
import { findTool } from './tools.ts'

/**
 * Copy every disk of a backup's snapshot with `nbdcopy`, through the snapshot's own export, while the run holds its lease. The run must not
 * get on meanwhile: start the system without a block-reader, call this, then start one.
 */
export async function copySnapshot(system: System, runId: string, folder: string): Promise<Map<string, string>> {
  const run = await waitForCopying(system, runId)
  const copies = new Map<string, string>()
  for (const image of run.images) {
    const address = await system.driver.diskAddress(run.resources.leaseId!, image.diskId, run.resources.snapshotId!)
    const file = join(folder, `${runId}-${image.diskId}.raw`)
    const child = spawn(findTool('nbdcopy') ?? 'nbdcopy', [await nbdUri(address, folder), file], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let complaint = ''
    child.stderr.on('data', bytes => {
      complaint += String(bytes)
    })
    const [code] = await once(child, 'exit')
    if (code !== 0) throw new Error(`nbdcopy of ${address.exportName} ended with ${code}: ${complaint}`)
    copies.set(image.diskId, file)
  }
  return copies
}

async function waitForCopying(system: System, runId: string) {
  for (let attempt = 0; attempt < 600; attempt += 1) {
    const run = await system.varve.catalog.getRunForWork(runId)
    if (run.state === 'copying') return run
    if (run.endedAt !== null || run.state === 'finishing') throw new Error(`run ended early: ${run.state} ${run.reason} ${run.message}`)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  throw new Error('the run never began to copy')
}
