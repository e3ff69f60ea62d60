import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { runProcess } from '@varve/runtime'
import { StandaloneError } from '../errors.ts'
import { type Cluster, startCluster } from './cluster.ts'

const USAGE = `varve cluster [--readers N] [--writers N] [--platform] [--port N] [--folder DIR] [--json]

Varve on many processes of this machine: its own PostgreSQL, Redis and MinIO on loopback, and every service as a process.

  --readers N    block-readers (default 2)
  --writers N    block-writers (default 1)
  --platform     the reference platform, too
  --port N       the API and dashboard on 127.0.0.1:N (default: a free one)
  --folder DIR   where everything lives, and stays (default: a temporary folder that is removed at the end)
  --json         print one JSON line when ready: { apiUrl, token, folder, pid, platform, processes, notes }

Stop it with Ctrl-C or SIGTERM: everything ends in order and nothing is left running.
Example:  npm run cluster -- --readers 4 --platform`

/** The most processes of a kind that make sense on one machine. */
const MOST = 64

/** The `cluster` command; returns when the processes are to go on serving (it ends by signal), or the exit code. */
export async function runCluster(argv: readonly string[], entry: string): Promise<number | undefined> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      readers: { type: 'string', default: '2' },
      writers: { type: 'string', default: '1' },
      port: { type: 'string', default: '0' },
      folder: { type: 'string' },
      platform: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  const readers = count('--readers', values.readers, MOST)
  const writers = count('--writers', values.writers, MOST)
  const port = count('--port', values.port, 65_535)
  await runProcess(async closer => {
    let folder = values.folder
    if (folder === undefined) {
      const temporary = await mkdtemp(join(tmpdir(), 'varve-cluster-'))
      closer.add('folder', () => rm(temporary, { recursive: true, force: true }))
      folder = temporary
    }
    const cluster = await startCluster({ folder, readers, writers, port, ...(values.platform ? { platformEntry: entry } : {}) })
    closer.add('cluster', () => cluster.close())
    for (const [name, child] of cluster.children) {
      child.once('exit', code => {
        if (code !== 0) console.error(`${name} ended with ${code ?? 'a signal'}: see ${join(cluster.logs, `${name}.log`)}`)
      })
    }
    console.log(values.json ? asJson(cluster) : asText(cluster))
  })
  return undefined
}

function count(option: string, text: string, most: number): number {
  const value = Number(text)
  if (/^\d{1,5}$/.test(text) && value <= most) return value
  throw new StandaloneError('USAGE', `${option} is a number from 0 to ${most}, not ${text.slice(0, 20)}`)
}

function asJson({ apiUrl, token, folder, platform, children, healthUrls, notes }: Cluster): string {
  const processes = [...children].map(([name, child]) => ({ name, pid: child.pid, health: healthUrls.get(name) }))
  return JSON.stringify({ apiUrl, token, folder, pid: process.pid, platform: platform ?? null, processes, notes })
}

function asText({ apiUrl, token, folder, platform, children, healthUrls, notes, environment }: Cluster): string {
  const lines = [
    `Varve runs on ${children.size} processes: ${apiUrl}   (dashboard: ${apiUrl}/#token=${token})`,
    ...[...children].map(([name, child]) => `  ${name.padEnd(16)} pid ${String(child.pid).padEnd(8)} ${healthUrls.get(name)}`),
    `repository ${environment.VARVE_REPOSITORY_URL}, everything in ${folder}`,
    ...notes.map(note => `note: ${note}`),
    '',
    'Use it from another terminal:',
    `  export VARVE_API_URL=${apiUrl} VARVE_API_TOKEN=${token}`,
  ]
  if (platform !== undefined) {
    lines.push(
      `  VARVE_PLATFORM_PASSWORD='${platform.password}' npx varve platform add lab --url ${platform.url} --user ${platform.username}`,
    )
  }
  lines.push('  npx varve vm list', 'Stop with Ctrl-C.')
  return lines.join('\n')
}
