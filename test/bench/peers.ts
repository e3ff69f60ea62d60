import { access, mkdir, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { findTool } from '../support/tools.ts'
import type { BenchDisk } from './bench-disk.ts'
import { type Measured, measureCommand } from './measure.ts'
import type { BenchMinio } from './minio-server.ts'

/** Another backup tool doing the same job, as it would be used. */
export interface Peer {
  readonly name: string
  /** Where its data goes. */
  readonly target: 's3' | 'directory'
  full(round: number): Promise<Measured>
  restore(round: number): Promise<Measured>
}

export interface PeerContext {
  /** RAM-backed. */
  readonly folder: string
  readonly disk: BenchDisk
  readonly minio: BenchMinio
}

/** Those that are installed, and why the others are not taken. */
export async function findPeers(context: PeerContext, wanted: ReadonlySet<string>): Promise<{ peers: Peer[]; skipped: string[] }> {
  const peers: Peer[] = []
  const skipped: string[] = ['kopia: not in the registries', 'virtnbdbackup: not in the registries in a version that fits']
  const benji = process.env.VARVE_BENCH_BENJI ?? join(process.env.VARVE_CACHE ?? join(homedir(), '.cache/varve'), 'peers/benji/bin/benji')
  const candidates: [name: string, tool: string | undefined, make: (tool: string) => Peer][] = [
    ['restic', process.env.VARVE_BENCH_RESTIC ?? findTool('restic'), tool => restic(tool, context)],
    ['borg', findTool('borg'), tool => borg(tool, context)],
    ['benji', (await exists(benji)) ? benji : undefined, tool => benjiPeer(tool, context)],
  ]
  for (const [name, tool, make] of candidates) {
    if (!wanted.has(name)) skipped.push(`${name}: not asked for`)
    else if (tool === undefined) skipped.push(`${name}: not installed (test/bench/install-peers.sh)`)
    else peers.push(make(tool))
  }
  return { peers, skipped }
}

async function measured(...call: Parameters<typeof measureCommand>): Promise<Measured> {
  return (await measureCommand(...call)).measured
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

function restic(tool: string, { folder, disk, minio }: PeerContext): Peer {
  const env = { AWS_ACCESS_KEY_ID: minio.accessKey, AWS_SECRET_ACCESS_KEY: minio.secretKey, RESTIC_PASSWORD: 'bench' }
  const common = (round: number): string[] => [
    tool,
    '-q',
    '--cache-dir',
    join(folder, 'restic-cache'),
    '-r',
    `s3:${minio.endpoint}/restic-${round}`,
  ]
  return {
    name: 'restic',
    target: 's3',
    async full(round) {
      // Room in memory; nobody asks for it again.
      await rm(join(folder, 'minio', `restic-${round - 1}`), { recursive: true, force: true })
      await measureCommand([...common(round), 'init', '--repository-version', '2'], { env })
      return measured([...common(round), 'backup', disk.path], { env, servers: [minio.pid] })
    },
    async restore(round) {
      const target = join(folder, 'restic-restored')
      await rm(target, { recursive: true, force: true })
      const taken = await measured([...common(round), 'restore', 'latest', '--target', target], { env, servers: [minio.pid] })
      await rm(target, { recursive: true, force: true })
      return taken
    },
  }
}

function borg(tool: string, { folder, disk }: PeerContext): Peer {
  const env = { BORG_BASE_DIR: join(folder, 'borg-home'), BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: 'yes' }
  const repository = (round: number): string => join(folder, `borg-${round}`)
  return {
    name: 'borg',
    target: 'directory',
    async full(round) {
      await rm(repository(round - 1), { recursive: true, force: true })
      await measureCommand([tool, 'init', '--encryption=none', repository(round)], { env })
      const options = ['--compression', 'zstd,1', '--chunker-params', 'fixed,1048576']
      return measured([tool, 'create', ...options, `${repository(round)}::t1`, disk.path], { env })
    },
    async restore(round) {
      const target = join(folder, 'borg-restored')
      await mkdir(target)
      const taken = await measured([tool, 'extract', '--sparse', `${repository(round)}::t1`], { env, cwd: target })
      await rm(target, { recursive: true })
      return taken
    },
  }
}

function benjiPeer(tool: string, { folder, disk, minio }: PeerContext): Peer {
  const config = join(folder, 'benji.yaml')
  let ready: Promise<unknown> | undefined
  const prepare = async (): Promise<void> => {
    await writeFile(
      config,
      [
        "configurationVersion: '1'",
        `databaseEngine: sqlite:///${join(folder, 'benji.sqlite')}`,
        'defaultStorage: s3',
        'blockSize: 4194304',
        'storages:',
        '  - name: s3',
        '    storageId: 1',
        '    module: s3',
        '    configuration:',
        `      awsAccessKeyId: ${minio.accessKey}`,
        `      awsSecretAccessKey: ${minio.secretKey}`,
        `      endpointUrl: ${minio.endpoint}`,
        '      bucketName: benji',
        '      addressingStyle: path',
        '      useSsl: false',
        '      activeTransforms: [zstd]',
        'transforms:',
        '  - name: zstd',
        '    module: zstd',
        '    configuration: {level: 1}',
        'ios:',
        '  - name: file',
        '    module: file',
        '',
      ].join('\n'),
    )
    const { openStore } = await import('@varve/repository')
    const { endpoint, accessKey, secretKey } = minio
    await (await openStore('s3://benji/x', { endpoint, accessKey, secretKey, createBucket: true })).close()
    await measureCommand([tool, '-c', config, 'database-init'])
  }
  return {
    name: 'benji',
    target: 's3',
    async full(round) {
      ready ??= prepare()
      await ready
      // Its blocks are named by content: another volume name alone would find all of them there.
      if (round > 1) {
        await measureCommand([tool, '-c', config, 'rm', '-f', `v${round - 1}`]).catch(() => {})
        await measureCommand([tool, '-c', config, 'cleanup', '--override-lock']).catch(() => {})
      }
      return measured([tool, '-c', config, 'backup', '-u', `v${round}`, `file:${disk.path}`, `vm${round}`], { servers: [minio.pid] })
    },
    async restore(round) {
      const target = join(folder, 'benji.img')
      await rm(target, { force: true })
      const taken = await measured([tool, '-c', config, 'restore', '--sparse', `v${round}`, `file:${target}`], {
        servers: [minio.pid],
      })
      await rm(target, { force: true })
      return taken
    },
  }
}
