import { existsSync } from 'node:fs'
import { link, mkdir, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Closer } from '@varve/runtime'
import { findTool } from '../support/tools.ts'
import type { BenchDisk, Change } from './bench-disk.ts'
import { type Measured, measureCommand, measured } from './measure.ts'
import type { BenchMinio } from './minio-server.ts'
import { bytesIn, into } from './peer-folders.ts'
import { Skip } from './skip.ts'
import { virtnbdbackupPeers } from './virtnbdbackup.ts'

/** Another backup tool doing the same job, as it would be used. Each round has a repository of its own, so that nothing is known before. */
export interface Peer {
  readonly name: string
  /** Where its data goes. */
  readonly target: 's3' | 'directory'
  full(round: number): Promise<Measured>
  /** After some of the disk was changed, by itself or by the list. */
  incremental(round: number, changes: readonly Change[]): Promise<Measured>
  restore(round: number): Promise<Measured>
  /** Bytes that are stored now for this round. */
  stored(round: number): Promise<number>
}

export interface PeerContext {
  /** RAM-backed. */
  readonly folder: string
  readonly closer: Closer
  readonly disk: BenchDisk
  readonly minio: BenchMinio
}

const PEERS = join(process.env.VARVE_CACHE ?? join(homedir(), '.cache/varve'), 'peers')
const HOW = 'not installed (test/bench/install-peers.sh)'

/** Those that are installed, and why the others are not taken. */
export async function findPeers(context: PeerContext, wanted: ReadonlySet<string>): Promise<{ peers: Peer[]; skipped: string[] }> {
  const peers: Peer[] = []
  const skipped: string[] = []
  const benji = process.env.VARVE_BENCH_BENJI ?? join(PEERS, 'benji/bin/benji')
  const candidates: [name: string, tool: string | undefined, make: (tool: string) => Peer, why: string][] = [
    ['restic', process.env.VARVE_BENCH_RESTIC ?? findTool('restic'), tool => restic(tool, context), HOW],
    [
      'kopia',
      process.env.VARVE_BENCH_KOPIA ?? findTool('kopia'),
      tool => kopia(tool, context),
      'in no registry; VARVE_BENCH_KOPIA names one',
    ],
    ['borg', findTool('borg'), tool => borg(tool, context), HOW],
    ['benji', existsSync(benji) ? benji : undefined, tool => benjiPeer(tool, context), HOW],
  ]
  for (const [name, tool, make, why] of candidates) {
    if (!wanted.has(name)) skipped.push(`${name}: not asked for`)
    else if (tool === undefined) skipped.push(`${name}: ${why}`)
    else peers.push(make(tool))
  }
  if (!wanted.has('virtnbdbackup')) skipped.push('virtnbdbackup: not asked for')
  else {
    try {
      peers.push(...(await virtnbdbackupPeers(context)))
    } catch (error) {
      if (!(error instanceof Skip)) throw error
      skipped.push(`virtnbdbackup: ${error.message}`)
    }
  }
  return { peers, skipped }
}

/** The folder of Xen Orchestra's NBD client; undefined when it is not installed. */
export function xoClient(): string | undefined {
  const folder = join(PEERS, 'vates/node_modules/@vates/nbd-client')
  return existsSync(join(folder, 'multi.mjs')) ? folder : undefined
}

function restic(tool: string, { folder, disk, minio }: PeerContext): Peer {
  const env = { AWS_ACCESS_KEY_ID: minio.accessKey, AWS_SECRET_ACCESS_KEY: minio.secretKey, RESTIC_PASSWORD: 'bench' }
  const options = { env, servers: [minio.pid] }
  const bucket = (round: number): string => join(minio.folder, `restic-${round}`)
  const common = (round: number): string[] => [
    tool,
    '-q',
    '--cache-dir',
    join(folder, 'restic-cache'),
    '-r',
    `s3:${minio.endpoint}/restic-${round}`,
  ]
  const backup = (round: number): Promise<Measured> => measured([...common(round), 'backup', disk.path], options)
  const target = join(folder, 'restic-restored')
  return {
    name: 'restic',
    target: 's3',
    async full(round) {
      // Room in memory; nobody asks for it again.
      await rm(bucket(round - 1), { recursive: true, force: true })
      await measureCommand([...common(round), 'init', '--repository-version', '2'], { env })
      return backup(round)
    },
    incremental: backup,
    restore: round => into(target, () => measured([...common(round), 'restore', 'latest', '--target', target], options)),
    stored: round => bytesIn(bucket(round)),
  }
}

function kopia(tool: string, { folder, disk, minio }: PeerContext): Peer {
  const home = join(folder, 'kopia')
  const source = join(home, 'source')
  const env = { KOPIA_PASSWORD: 'bench', KOPIA_CHECK_FOR_UPDATES: 'false', HOME: home }
  const options = { env, servers: [minio.pid] }
  const bucket = (round: number): string => `kopia-${round}`
  const command = (round: number, ...args: string[]): string[] => [
    tool,
    ...args,
    `--config-file=${join(home, `${round}.config`)}`,
    '--no-progress',
  ]
  const backup = (round: number): Promise<Measured> => measured(command(round, 'snapshot', 'create', source), options)
  const target = join(folder, 'kopia-restored')
  return {
    name: 'kopia',
    target: 's3',
    async full(round) {
      await rm(join(minio.folder, bucket(round - 1)), { recursive: true, force: true })
      await mkdir(source, { recursive: true })
      await link(disk.path, join(source, 'disk.img')).catch(() => {})
      await mkdir(join(minio.folder, bucket(round)), { recursive: true })
      const server = [`--endpoint=${new URL(minio.endpoint).host}`, '--disable-tls', `--access-key=${minio.accessKey}`]
      const create = ['repository', 'create', 's3', `--bucket=${bucket(round)}`, ...server, `--secret-access-key=${minio.secretKey}`]
      await measureCommand(command(round, ...create, '--object-splitter=FIXED-1M', `--cache-directory=${join(home, 'cache')}`), { env })
      await measureCommand(command(round, 'policy', 'set', '--global', '--compression=zstd-fastest'), { env })
      return backup(round)
    },
    incremental: backup,
    async restore(round) {
      await rm(join(home, 'cache'), { recursive: true, force: true })
      const restore = ['snapshot', 'restore', source, target, '--snapshot-time=latest', '--write-sparse-files']
      return into(target, () => measured(command(round, ...restore), options))
    },
    stored: round => bytesIn(join(minio.folder, bucket(round))),
  }
}

function borg(tool: string, { folder, disk }: PeerContext): Peer {
  const env = { BORG_BASE_DIR: join(folder, 'borg-home'), BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: 'yes' }
  const repository = (round: number): string => join(folder, `borg-${round}`)
  const create = (round: number, name: string): Promise<Measured> => {
    const options = ['--compression', 'zstd,1', '--chunker-params', 'fixed,1048576']
    return measured([tool, 'create', ...options, `${repository(round)}::${name}`, disk.path], { env })
  }
  const target = join(folder, 'borg-restored')
  return {
    name: 'borg',
    target: 'directory',
    async full(round) {
      await rm(repository(round - 1), { recursive: true, force: true })
      await measureCommand([tool, 'init', '--encryption=none', repository(round)], { env })
      return create(round, 't1')
    },
    incremental: round => create(round, 't2'),
    restore: round => into(target, () => measured([tool, 'extract', '--sparse', `${repository(round)}::t1`], { env, cwd: target })),
    stored: round => bytesIn(repository(round)),
  }
}

function benjiPeer(tool: string, { folder, disk, minio }: PeerContext): Peer {
  const config = (round: number): string => join(folder, `benji-${round}.yaml`)
  const bucket = (round: number): string => `benji-${round}`
  const command = (round: number, ...args: string[]): string[] => [tool, '-c', config(round), ...args]
  const options = { servers: [minio.pid] }
  const source = `file:${disk.path}`
  const target = join(folder, 'benji-restored')
  return {
    name: 'benji',
    target: 's3',
    async full(round) {
      await rm(join(minio.folder, bucket(round - 1)), { recursive: true, force: true })
      await mkdir(join(minio.folder, bucket(round)), { recursive: true })
      await writeFile(config(round), benjiConfig(join(folder, `benji-${round}.sqlite`), bucket(round), minio))
      await measureCommand(command(round, 'database-init'))
      return measured(command(round, 'backup', '-u', 'full', source, 'vm'), options)
    },
    async incremental(round, changes) {
      const hints = join(folder, 'benji-hints.json')
      await writeFile(hints, JSON.stringify(changes.map(({ offset, bytes }) => ({ offset, length: bytes.length, exists: 'true' }))))
      return measured(command(round, 'backup', '-u', 'incremental', '-r', hints, '-f', 'full', source, 'vm'), options)
    },
    restore: round =>
      into(target, () => measured(command(round, 'restore', '--sparse', 'full', `file:${join(target, 'disk.img')}`), options)),
    stored: round => bytesIn(join(minio.folder, bucket(round))),
  }
}

function benjiConfig(database: string, bucket: string, { accessKey, secretKey, endpoint }: BenchMinio): string {
  return `configurationVersion: '1'
databaseEngine: sqlite:///${database}
defaultStorage: s3
blockSize: 4194304
storages:
  - name: s3
    storageId: 1
    module: s3
    configuration:
      awsAccessKeyId: ${accessKey}
      awsSecretAccessKey: ${secretKey}
      endpointUrl: ${endpoint}
      bucketName: ${bucket}
      addressingStyle: path
      useSsl: false
      activeTransforms: [zstd]
transforms:
  - name: zstd
    module: zstd
    configuration: {level: 1}
ios:
  - name: file
    module: file
`
}
