import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Closer, GiB } from '@varve/runtime'
import { makeBenchDisk } from './bench-disk.ts'
import { capacityPage } from './capacity-page.ts'
import { type Measured, warm } from './measure.ts'
import { startBenchMinio } from './minio-server.ts'
import { Parts } from './parts.ts'
import { type Results, writeReport, writeToPage } from './report.ts'
import { Samples } from './samples.ts'
import { HELP, readSettings, type Settings } from './settings.ts'
import { Skip } from './skip.ts'
import type { Subject } from './subject.ts'
import { GROUPS, selected } from './subjects/all.ts'

/** `npm run bench`: Varve beside its peers in one run, on the same disk, in memory. Options: settings.ts. */

function note(line: string): void {
  process.stderr.write(`${line}\n`)
}

class Run {
  readonly #settings: Settings
  readonly #closer: Closer
  readonly samples = new Samples()
  readonly skipped: string[] = []
  readonly failed: string[] = []

  constructor(settings: Settings, closer: Closer) {
    this.#settings = settings
    this.#closer = closer
  }

  async all(groups: readonly (readonly Subject[])[]): Promise<Results> {
    const settings = this.#settings
    const folder = await mkdtemp(join(settings.folder, 'varve-bench-'))
    this.#closer.add('folder', () => rm(folder, { recursive: true, force: true }))
    process.env.TMPDIR = folder
    const disk = await makeBenchDisk(folder, settings.diskSize)
    note(`disk ${disk.size / GiB} GiB, ${(disk.allocated / GiB).toFixed(2)} GiB allocated`)
    for (const [n, group] of groups.entries()) {
      const closer = new Closer()
      this.#closer.add(`group ${n}`, () => closer.close())
      const own = join(folder, `group-${n}`)
      await mkdir(own)
      closer.add('folder', () => rm(own, { recursive: true, force: true }))
      try {
        const minio = await startBenchMinio(own, closer).catch(orSkip)
        const sample = (name: string, run: () => Promise<Measured>): Promise<void> => this.#sample(name, run)
        await this.#group(
          group,
          new Parts({
            settings,
            samples: this.samples,
            folder: own,
            closer,
            disk,
            minio,
            sample,
            note: line => this.#skip(line),
            tell: note,
            lost: (name, error) => this.#lost(name, error),
          }),
        )
      } catch (error) {
        for (const { name } of group) this.#lost(name, error)
      } finally {
        await closer.close()
      }
    }
    const { samples, skipped, failed } = this
    const rows = groups.flat().flatMap(subject => subject.targets(samples, disk))
    return { settings, samples, rows, skipped, failed }
  }

  #roundsOf({ rounds, quickRounds }: Subject): number {
    const most = this.#settings.quick ? (quickRounds ?? rounds) : rounds
    return Math.min(most ?? this.#settings.rounds, this.#settings.rounds)
  }

  /** Its rounds, those of its subjects interleaved. What fails is left out from then on, with what builds on it; the rest goes on. */
  async #group(group: readonly Subject[], parts: Parts): Promise<void> {
    const out = new Set<string>()
    const attempt = async <T>(subject: Subject, act: () => Promise<T>): Promise<T | undefined> => {
      const base = subject.after?.find(other => out.has(other))
      if (out.has(subject.name)) return undefined
      try {
        if (base !== undefined) throw new Skip(`it needs ${base}`)
        return await act()
      } catch (error) {
        out.add(subject.name)
        this.#lost(subject.name, error)
        return undefined
      }
    }
    const rounds = new Map<Subject, (round: number) => Promise<void>>()
    for (const subject of group) {
      const opened = await attempt(subject, () => subject.open(parts))
      if (opened !== undefined) rounds.set(subject, opened)
    }
    for (let round = 1; round <= this.#settings.rounds; round++) {
      for (const [subject, run] of rounds) if (round <= this.#roundsOf(subject)) await attempt(subject, () => run(round))
    }
  }

  async #sample(name: string, run: () => Promise<Measured>): Promise<void> {
    await warm(this.#settings.warmGib)
    const measured = await run()
    this.samples.add(name, measured)
    const { wall, cpu, serverCpu, otherCpu, mibs } = measured
    const rate = mibs === undefined ? '' : `, ${mibs.toFixed(1)} MiB/s`
    note(`${name.padEnd(56)} ${wall.toFixed(2)} s, ${cpu.toFixed(2)} + ${serverCpu.toFixed(2)} CPU s, other ${otherCpu.toFixed(1)}${rate}`)
  }

  #skip(line: string): void {
    if (this.skipped.includes(line)) return
    this.skipped.push(line)
    note(line)
  }

  #lost(name: string, error: unknown): void {
    if (error instanceof Skip) {
      this.#skip(`skipped ${name}: ${error.message}`)
      return
    }
    const line = `failed ${name}: ${error instanceof Error ? error.message : String(error)}`
    this.failed.push(line)
    note(line)
    if (error instanceof Error && process.env.VARVE_BENCH_STACKS !== undefined) note(error.stack ?? '')
  }
}

/** Only what needs it is left out. */
function orSkip(error: unknown): Skip {
  if (error instanceof Skip) return error
  throw error
}

async function main(): Promise<void> {
  const settings = readSettings(process.argv.slice(2))
  if (settings === 'help') {
    console.log(
      `${HELP}\nSubjects:\n${GROUPS.flat()
        .map(({ name, about }) => `  ${name.padEnd(13)} ${about}`)
        .join('\n')}`,
    )
    return
  }
  if (settings.capacity) {
    console.log(capacityPage())
    if (settings.writeAsked) await writeToPage('capacity', capacityPage())
    return
  }
  const groups = selected(settings.only)
  // Each process that is started has a listener.
  process.setMaxListeners(64)
  const closer = new Closer()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void closer.close().finally(() => process.exit(130)))
  try {
    const results = await new Run(settings, closer).all(groups)
    await writeReport(results, process.argv.slice(2))
    const missed = settings.check && results.rows.some(({ met }) => !met)
    if (missed || results.failed.length > 0) process.exitCode = 1
  } finally {
    await closer.close()
  }
}

try {
  await main()
} catch (error) {
  if (!(error instanceof TypeError)) throw error
  // A wrong command line is told, not traced.
  note(error.message)
  process.exitCode = 2
}
