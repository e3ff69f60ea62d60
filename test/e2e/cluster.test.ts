import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import { ROOT } from '../support/system.ts'
import { missingTool } from '../support/tools.ts'

interface Told {
  readonly apiUrl: string
  readonly token: string
  readonly folder: string
  readonly platform: { readonly url: string; readonly pid: number }
  readonly processes: readonly { readonly name: string; readonly pid: number; readonly health: string }[]
  readonly notes: readonly string[]
}

/** Every process whose command line or environment names the folder. */
async function processesOf(folder: string): Promise<number[]> {
  const found: number[] = []
  for (const pid of (await readdir('/proc')).filter(name => /^\d+$/.test(name))) {
    const text = await Promise.all(['cmdline', 'environ'].map(file => readFile(`/proc/${pid}/${file}`, 'latin1').catch(() => '')))
    if (text.join('').includes(folder)) found.push(Number(pid))
  }
  return found
}

test('a cluster on one machine is ready, tells its metrics, and leaves nothing behind when it is stopped', async ctx => {
  const missing = missingTool('redis-server')
  if (missing !== undefined) return ctx.skip(missing)
  const varve = join(ROOT, 'packages', 'cli', 'bin', 'varve.mjs')
  const child = spawn(process.execPath, [varve, 'cluster', '--readers', '2', '--platform', '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exit = once(child, 'exit')
  const [line] = await Promise.race([once(createInterface({ input: child.stdout }), 'line'), exit])
  expect(typeof line, `it ended with ${line}`).toBe('string')
  const told = JSON.parse(line as string) as Told
  try {
    expect(told.processes.map(p => p.name)).toEqual([
      'catalog',
      'snapshot',
      'block-reader',
      'block-reader-2',
      'block-writer',
      'maintenance',
      'api',
    ])
    for (const { name, health } of told.processes) expect((await fetch(`${health}/readyz`)).status, name).toBe(200)

    const catalog = told.processes[0]!
    const metrics = await (await fetch(`${catalog.health}/metrics`)).text()
    expect(metrics).toContain('varve_queue_jobs{queue="read-range",state="waiting",service="catalog"} 0')
    expect(metrics).toContain('varve_outbox_age_seconds{service="catalog"} 0')
    expect((await fetch(`${told.apiUrl}/metrics`)).status).toBe(401)
    const answer = await fetch(`${told.apiUrl}/metrics`, { headers: { authorization: `Bearer ${told.token}` } })
    expect(await answer.text()).toMatch(/varve_http_request_seconds_count\{.*route="\/metrics",status="4xx".*\} 1/)
  } finally {
    child.kill('SIGINT')
  }
  expect(await exit).toEqual([0, null])
  expect(existsSync(told.folder)).toBe(false)
  expect(await processesOf(told.folder)).toEqual([])
}, 120_000)
