import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Catalog, Vm } from '@varve/catalog-client'
import { openQueue, type QueueDoor } from '@varve/queue'
import { type Closer, createLogger } from '@varve/runtime'
import { treeCpu } from '../process-usage.ts'
import { fairnessOver, type RunTimes } from './fairness.ts'
import { Histogram } from './histogram.ts'
import { type Night, rangesOf, sizeOf } from './night-plan.ts'
import { redisMemory } from './redis-memory.ts'
import { type CatalogProcess, type Databases, TOKEN } from './servers.ts'
import type { WorkerMessage, WorkerSettings } from './simulated-worker.ts'
import { mergeTimes } from './timed-calls.ts'
import { numberOf } from './year-calls.ts'

export interface NightOptions {
  readonly night: Night
  /** Runs under way at a time. */
  readonly active: number
  readonly workers: number
  readonly rangeMs: number
  readonly vms: readonly Vm[]
  readonly random: () => number
  readonly note: (line: string) => void
}

export interface NightFigures {
  readonly seconds: number
  readonly runs: number
  readonly ranges: number
  /** Ranges a second of each tenth of the night. */
  readonly rates: readonly number[]
  /** Processor seconds for 1000 ranges. */
  readonly cpu: Readonly<Record<'postgres' | 'catalog' | 'redis' | 'workers', number>>
  readonly redisPeak: number
  /** Jobs in the queue of ranges at most. */
  readonly queuePeak: number
  /** From `planned` to the first range done, of small VMs while huge ones were under way, ms. */
  readonly smallWait: Histogram
  readonly jain: number | null
  readonly calls: ReadonlyMap<string, Histogram>
}

interface Sample {
  readonly at: number
  readonly done: number
}

/** All VMs of a night are backed up, `active` at a time, in random order. */
export async function simulateNight(
  { databases, service, catalog, closer }: { databases: Databases; service: CatalogProcess; catalog: Catalog; closer: Closer },
  options: NightOptions,
): Promise<NightFigures> {
  const seen = new Seen()
  const settings: WorkerSettings = {
    catalogUrl: service.url,
    token: TOKEN,
    redisUrl: databases.redisUrl,
    night: options.night,
    rangeMs: options.rangeMs,
    concurrency: { 'prepare-backup': 4, 'read-range': 16, 'seal-restore-point': 4, 'finish-run': 4 },
  }
  const workers = await Promise.all(Array.from({ length: options.workers }, () => startWorker(settings, seen, closer)))
  const queue = await openQueue(databases.redisUrl, { log: createLogger('night', 'error') })
  closer.add('queue', () => queue.close())
  const cpu = (): Record<string, number> => ({
    postgres: treeCpu(databases.postgresPid),
    catalog: treeCpu(service.pid),
    redis: treeCpu(databases.redisPid),
    workers: workers.reduce((sum, { pid }) => sum + treeCpu(pid!), 0),
  })
  const before = cpu()
  const began = Date.now()
  const samples: Sample[] = []
  const watch = watchQueue(queue, databases.redisUrl, () => samples.push({ at: Date.now(), done: seen.served }))
  await Promise.race([askForBackups(catalog, seen, options), ...workers.map(failed)])
  const seconds = (Date.now() - began) / 1000
  const after = cpu()
  const peaks = await watch.stop()
  for (const worker of workers) {
    worker.send('stop')
    await once(worker, 'exit')
  }
  const perThousand = (name: string): number => ((after[name]! - before[name]!) / seen.served) * 1000
  return {
    seconds,
    runs: seen.ended,
    ranges: seen.served,
    rates: ratesOf(samples, 10),
    cpu: {
      postgres: perThousand('postgres'),
      catalog: perThousand('catalog'),
      redis: perThousand('redis'),
      workers: perThousand('workers'),
    },
    ...peaks,
    smallWait: seen.smallWait(),
    jain: fairnessOver(seen.runsOf('huge'), 5000),
    calls: seen.calls,
  }
}

/** What the workers told. */
class Seen {
  readonly calls = new Map<string, Histogram>()
  readonly #runs = new Map<string, { vm: number; plannedAt: number; served: number[]; ranges: number }>()
  /** The queue may be faster than the message about the plan. */
  readonly #early = new Map<string, number[]>()
  served = 0
  ended = 0

  add(message: WorkerMessage): void {
    if ('calls' in message) mergeTimes(this.calls, message.calls)
    if (!('events' in message)) return
    for (const event of message.events) {
      if (event.kind === 'planned') {
        this.#runs.set(event.runId, { vm: event.vm, plannedAt: event.at, served: this.#early.get(event.runId) ?? [], ranges: event.ranges })
        this.#early.delete(event.runId)
      } else if (event.kind === 'served') {
        this.served += 1
        const served = this.#runs.get(event.runId)?.served ?? this.#early.get(event.runId)
        if (served === undefined) this.#early.set(event.runId, [event.at])
        else served.push(event.at)
      } else {
        this.ended += 1
      }
    }
  }

  runsOf(size: string): RunTimes[] {
    return [...this.#runs.values()]
      .filter(run => sizeOf(run.vm) === size)
      .map(run => ({ ...run, served: run.served.sort((a, b) => a - b) }))
  }

  smallWait(): Histogram {
    const huge = this.runsOf('huge').map(run => ({ from: run.plannedAt, to: run.served.at(-1) ?? 0 }))
    const waits = new Histogram()
    for (const { plannedAt, served } of this.runsOf('small')) {
      const first = served[0]
      if (first !== undefined && huge.some(({ from, to }) => from < plannedAt && to > first)) waits.add(first - plannedAt)
    }
    return waits
  }
}

async function startWorker(settings: WorkerSettings, seen: Seen, closer: Closer): Promise<ChildProcess> {
  const worker = fork(join(import.meta.dirname, 'simulated-worker.js'), [JSON.stringify(settings)])
  closer.add('worker', async () => {
    if (worker.exitCode === null && worker.signalCode === null) {
      worker.kill('SIGKILL')
      await once(worker, 'exit')
    }
  })
  worker.on('message', (message: WorkerMessage) => seen.add(message))
  await Promise.race([once(worker, 'message'), failed(worker)])
  return worker
}

async function failed(worker: ChildProcess): Promise<never> {
  const [code] = await once(worker, 'exit')
  throw new Error(`a worker ended with ${code}`)
}

/** All backups are asked for at once; the catalog's limit lets `active` of them go on. */
async function askForBackups(catalog: Catalog, seen: Seen, { vms, active, random, note, night }: NightOptions): Promise<void> {
  const order = shuffled(vms.slice(0, night.vms), random)
  const limits = { runs: active, runsPerHost: active, openDisksPerHost: 2 * active, openDisksPerDatastore: 2 * active }
  for (const platform of await catalog.listPlatforms()) await catalog.setPlatformLimits(platform.id, limits)
  let asked = 0
  const asker = async (): Promise<void> => {
    while (asked < order.length) {
      const vm = order[asked++]!
      await catalog.createBackup(vm.id, {}, `night ${numberOf(vm)}`)
    }
  }
  const asking = Promise.all([asker(), asker()])
  for (let round = 0; seen.ended < order.length; round++) {
    if (round % 20 === 0) note(`${asked} asked for, ${seen.ended} of ${order.length} backups, ${seen.served} ranges`)
    await sleep(500)
  }
  await asking
}

function shuffled<T>(all: readonly T[], random: () => number): T[] {
  const list = [...all]
  for (let at = list.length - 1; at > 0; at--) {
    const other = Math.floor(random() * (at + 1))
    ;[list[at], list[other]] = [list[other]!, list[at]!]
  }
  return list
}

function watchQueue(queue: QueueDoor, redisUrl: string, sample: () => void): { stop(): Promise<{ redisPeak: number; queuePeak: number }> } {
  let queuePeak = 0
  let stopped = false
  const loop = (async () => {
    while (!stopped) {
      const { waiting, active, delayed } = await queue.counts('read-range')
      queuePeak = Math.max(queuePeak, waiting + active + delayed)
      sample()
      await sleep(500)
    }
  })()
  return {
    async stop() {
      stopped = true
      await loop
      return { redisPeak: (await redisMemory(redisUrl)).peak, queuePeak }
    },
  }
}

/** Ranges a second in each of `parts` equal parts of the time. */
export function ratesOf(samples: readonly Sample[], parts: number): number[] {
  const [first, last] = [samples[0], samples.at(-1)]
  if (first === undefined || last === undefined || last.at === first.at) return []
  const length = (last.at - first.at) / parts
  const doneAt = (time: number): number => samples.findLast(sample => sample.at <= time)?.done ?? 0
  return Array.from({ length: parts }, (_, n) => ((doneAt(first.at + (n + 1) * length) - doneAt(first.at + n * length)) / length) * 1000)
}

export function nightTotal(night: Night): number {
  let all = 0
  for (let vm = 0; vm < night.vms; vm++) all += rangesOf(vm, night)[0] + rangesOf(vm, night)[1]
  return all
}
