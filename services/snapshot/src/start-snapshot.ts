import type { Catalog } from '@varve/catalog-client'
import { DEFAULT_LIMITS } from '@varve/planning'
import type { Job, JobName, QueueDoor, QueueWorker } from '@varve/queue'
import { endOrRetry, type IsPassing, type OpenPlatform, Platforms } from '@varve/range-worker'
import type { Repository } from '@varve/repository'
import { Closer, type Logger, type Metrics, sleep } from '@varve/runtime'
import { finishRun } from './finish-run.ts'
import { syncInventory } from './inventory.ts'
import { prepareBackup } from './prepare-backup.ts'
import { preparePreview } from './prepare-preview.ts'
import { prepareRestore } from './prepare-restore.ts'
import type { ReadBackLimit } from './read-back.ts'
import { renewLeases } from './renew-leases.ts'
import { sealRestorePoint } from './seal-restore-point.ts'
import type { SnapshotDeps } from './snapshot-deps.ts'

export interface SnapshotServiceDeps {
  readonly catalog: Catalog
  readonly queue: QueueDoor
  readonly repository: Repository
  readonly openPlatform: OpenPlatform
  readonly log: Logger
  /** Where steps and renewals are counted. */
  readonly metrics?: Metrics
  /** How long jobs under way may go on at a stop before they are handed back, ms (default 10 s). */
  readonly graceMs?: number
  /** Jobs of each kind at the same time (default 4). They wait for the platform most of the time. */
  readonly concurrency?: number
  /** Bytes of one range at most (default 256 MiB). */
  readonly rangeBytes?: number | undefined
  /** Seconds between two rounds of renewing leases (default 20), and the lifetime each asks for (default 300). */
  readonly renewSeconds?: number
  readonly leaseSeconds?: number
  /** Packs, and as many maps, of a run that are read back before it is sealed; `all`: each, whole (default 16). */
  readonly readBack?: ReadBackLimit
  /** Seconds between two readings of the platforms' lists of VMs (default 60); 0 leaves them alone. */
  readonly inventorySeconds?: number
}

type Step = 'prepare-backup' | 'seal-restore-point' | 'prepare-restore' | 'prepare-preview' | 'finish-run'
type StepHandler = (job: Job<Step>, signal: AbortSignal) => Promise<void>
type Story = (runId: string, deps: SnapshotDeps, signal: AbortSignal) => Promise<void>

const STORIES: Readonly<Record<Exclude<Step, 'finish-run'>, Story>> = {
  'prepare-backup': prepareBackup,
  'prepare-restore': prepareRestore,
  'prepare-preview': preparePreview,
  'seal-restore-point': sealRestorePoint,
}

/** Work on the steps around the copying, renew leases, and keep the list of VMs fresh, until closed. Closes none of its dependencies. */
export async function startSnapshotService(given: SnapshotServiceDeps): Promise<{ close(): Promise<void> }> {
  const { catalog, queue, repository, log, concurrency = 4 } = given
  const platforms = new Platforms(catalog, given.openPlatform)
  const deps: SnapshotDeps = {
    catalog,
    repository,
    platforms,
    log,
    ...(given.readBack === undefined ? {} : { readBack: given.readBack }),
    limits: { ...DEFAULT_LIMITS, maxBytes: given.rangeBytes ?? DEFAULT_LIMITS.maxBytes },
  }
  const steps = given.metrics?.counter('varve_steps_total', 'Jobs around the copying, by what became of them.', ['job', 'outcome'])
  const renewals = given.metrics?.counter('varve_lease_renewals_total', 'Leases renewed, failed to be renewed this time, lost.', [
    'outcome',
  ])
  const work = (name: Step, handler: StepHandler): Promise<QueueWorker> =>
    queue.work(name, (job, signal) => counted(handler(job, signal), outcome => steps?.inc({ job: name, outcome })), { concurrency })
  const closer = new Closer()
  closer.add('platforms', () => platforms.close())
  // Together: each may wait for its last jobs.
  const workers: QueueWorker[] = []
  closer.add('workers', async () => void (await Promise.all(workers.map(worker => worker.close(given.graceMs)))))
  try {
    for (const name of Object.keys(STORIES) as (keyof typeof STORIES)[]) {
      workers.push(await work(name, (job, signal) => runStory(STORIES[name], job, deps, signal)))
    }
    // Its failure never fails the run: it is tried until it works.
    workers.push(await work('finish-run', (job, signal) => finishRun(job.payload.runId, deps, signal)))
    const { renewSeconds: everySeconds = 20, leaseSeconds = 300, inventorySeconds = 60 } = given
    closer.add(
      'leases',
      inBackground(signal =>
        renewLeases({ ...deps, counted: outcome => renewals?.inc({ outcome }) }, { everySeconds, leaseSeconds }, signal),
      ),
    )
    if (inventorySeconds > 0)
      closer.add(
        'inventory',
        inBackground(signal => syncInventory(deps, inventorySeconds, signal)),
      )
    return closer
  } catch (error) {
    await closer.close()
    throw error
  }
}

/**
 * A VM that somebody else holds was waited for already. A snapshot that went while the run was prepared is taken anew by the next attempt: a twin of the
 * job, delivered at the same time, may have replaced it.
 */
const isPassing: IsPassing = (_, { retryable, code }) => (retryable && code !== 'LEASE_OCCUPIED') || code === 'SNAPSHOT_NOT_FOUND'

async function runStory(story: Story, job: Job<Step & JobName>, deps: SnapshotDeps, signal: AbortSignal): Promise<void> {
  const { runId } = job.payload
  try {
    await story(runId, deps, signal)
  } catch (error) {
    await endOrRetry(error, { runId, lastAttempt: job.lastAttempt, signal }, isPassing, deps)
  }
}

/** `done` also for a run that the job ended with a reason; `again`: the job is delivered once more. */
async function counted(work: Promise<void>, count: (outcome: 'done' | 'again') => void): Promise<void> {
  try {
    await work
    count('done')
  } catch (error) {
    count('again')
    throw error
  }
}

/** A loop that still asks a catalog or platform that is away does not keep a stop waiting longer than this, ms. */
const LOOP_END_MS = 2000

/** Start a loop; the answer stops it and waits a little for its end. */
function inBackground(loop: (signal: AbortSignal) => Promise<void>): () => Promise<void> {
  const stop = new AbortController()
  const done = loop(stop.signal)
  return () => {
    stop.abort()
    const patience = new AbortController()
    const late = sleep(LOOP_END_MS, patience.signal).catch(() => {})
    return Promise.race([done, late]).finally(() => patience.abort())
  }
}
