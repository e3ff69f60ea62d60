import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { openStore } from '@varve/repository'
import type { Closer } from '@varve/runtime'
import type { BenchDisk } from './bench-disk.ts'
import { type BenchPlatform, startBenchPlatform } from './bench-platform.ts'
import type { Measured } from './measure.ts'
import type { BenchMinio } from './minio-server.ts'
import { type OurSystem, startOurStandalone } from './our-system.ts'
import { findPeers, type Peer } from './peers.ts'
import type { Samples } from './samples.ts'
import type { Settings } from './settings.ts'
import { Skip } from './skip.ts'

/** Where a full goes. */
export type Target = 's3' | 'directory'
export const TARGETS = ['s3', 'directory'] as const

/** Our two systems with one platform between them, whose VM `bench` has the disk. */
export interface Ours extends Readonly<Record<Target, OurSystem>> {
  readonly platform: BenchPlatform
  readonly platformVmId: string
}

/**
 * What a group of subjects works with. Everything is opened when it is first asked for and closed at the end of the group, so that nothing that is not
 * measured runs meanwhile.
 */
export class Parts {
  readonly settings: Settings
  readonly samples: Samples
  readonly folder: string
  readonly closer: Closer
  readonly disk: BenchDisk
  readonly #minio: BenchMinio | Skip
  readonly #sample: (name: string, run: () => Promise<Measured>) => Promise<void>
  readonly #note: (line: string) => void
  readonly #tell: (line: string) => void
  readonly #lost: (name: string, error: unknown) => void
  readonly #lostPeers = new Set<string>()
  #ours: Promise<Ours> | undefined
  #peers: Promise<readonly Peer[]> | undefined

  constructor(options: {
    readonly settings: Settings
    readonly samples: Samples
    readonly folder: string
    readonly closer: Closer
    readonly disk: BenchDisk
    /** Or why there is none. */
    readonly minio: BenchMinio | Skip
    readonly sample: (name: string, run: () => Promise<Measured>) => Promise<void>
    /** What was left out, and why. */
    readonly note: (line: string) => void
    /** For who watches. */
    readonly tell: (line: string) => void
    /** Something failed; the rest goes on. */
    readonly lost: (name: string, error: unknown) => void
  }) {
    ;({ settings: this.settings, samples: this.samples, folder: this.folder, closer: this.closer, disk: this.disk } = options)
    this.#minio = options.minio
    this.#sample = options.sample
    this.#note = options.note
    this.#tell = options.tell
    this.#lost = options.lost
  }

  /** @throws Skip */
  get minio(): BenchMinio {
    if (this.#minio instanceof Skip) throw this.#minio
    return this.#minio
  }

  /** Warm the memory, run, and keep what was measured under this name. */
  sample(name: string, run: () => Promise<Measured>): Promise<void> {
    return this.#sample(name, run)
  }

  /** The same of a peer: one that fails is left out from then on, which is no matter of ours. */
  async samplePeer(peer: Peer, name: string, run: () => Promise<Measured>): Promise<void> {
    const id = `${peer.name} (${peer.target})`
    if (this.#lostPeers.has(id)) return
    try {
      await this.#sample(name, run)
    } catch (error) {
      this.#lostPeers.add(id)
      this.#lost(id, error)
    }
  }

  note(line: string): void {
    this.#note(line)
  }

  tell(line: string): void {
    this.#tell(line)
  }

  get s3Env(): Record<string, string> {
    return { VARVE_S3_ENDPOINT: this.minio.endpoint, VARVE_S3_ACCESS_KEY: this.minio.accessKey, VARVE_S3_SECRET_KEY: this.minio.secretKey }
  }

  urlOf(target: Target): string {
    return target === 's3' ? 's3://varve/bench' : `file://${join(this.folder, 'repository')}`
  }

  ours(): Promise<Ours> {
    this.#ours ??= this.#startOurs()
    return this.#ours
  }

  /** Those that are installed and asked for; says once why the others are left out. */
  peers(): Promise<readonly Peer[]> {
    this.#peers ??= findPeers(this, this.settings.peers).then(({ peers, skipped }) => {
      for (const line of skipped) this.note(`skipped ${line}`)
      return peers
    })
    return this.#peers
  }

  /** Make the bucket that repositories are in, and which a store alone does not make. */
  async makeBucket(url: string): Promise<void> {
    const { endpoint, accessKey, secretKey } = this.minio
    await (await openStore(url, { endpoint, accessKey, secretKey, createBucket: true })).close()
  }

  async #startOurs(): Promise<Ours> {
    await this.makeBucket(this.urlOf('s3'))
    const platform = await startBenchPlatform(join(this.folder, 'hci'), this.closer, this.disk.path)
    const start = async (target: Target): Promise<OurSystem> => {
      const folder = join(this.folder, `varve-${target}`)
      await mkdir(folder, { recursive: true })
      const profile = process.env.VARVE_BENCH_PROFILE
      const nodeArgs = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${join(profile, target)}`]
      const system = await startOurStandalone({ folder, platform, repository: this.urlOf(target), env: this.s3Env, nodeArgs })
      this.closer.add(`varve ${target}`, () => system.stop())
      return system
    }
    return { s3: await start('s3'), directory: await start('directory'), platform, platformVmId: await platform.vmNamed('bench') }
  }
}
