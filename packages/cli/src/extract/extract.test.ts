import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { cp, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { blocksInPage, merkleRoot, Page, PageRefs, pageCount, type Root } from '@varve/block-map'
import { formatHash, openRepository, openStore, type Repository } from '@varve/repository'
import { type RunningMinio, randomObjectIds, startMinio } from '@varve/repository/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'

/* The real command as a process, on real repositories: whole, damaged, from the future. */

const BIN = fileURLToPath(new URL('../../bin/varve.mjs', import.meta.url))
const KiB = 1024
const MiB = 1024 * KiB
const BLOCK = 128 * KiB
/** Two pages, the last block short. */
const SIZE = 160 * MiB + 1536
const PAGE = 128 * MiB

let folder: string
let minio: RunningMinio | string
let disk: Buffer

interface Made {
  readonly url: string
  readonly pointId: string
  readonly older: string
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'varve-extract-'))
  disk = Buffer.alloc(SIZE)
  for (let i = 0; i < 40; i++) randomBytes(BLOCK).copy(disk, i * 3 * BLOCK)
  for (let i = 0; i < 30; i++) disk.fill(`line ${i}\n`, (400 + i) * BLOCK, (401 + i) * BLOCK)
  // A block of which one half is zeros, and two that are pieces of the second page and of the short end.
  randomBytes(64 * KiB).copy(disk, 900 * BLOCK)
  randomBytes(BLOCK).copy(disk, PAGE + 5 * BLOCK)
  randomBytes(1536).copy(disk, SIZE - 1536)
  await makeRepository(await openStore(directory('whole')))
  minio = await startMinio()
})
afterAll(async () => {
  if (typeof minio === 'object') await minio.close()
  await rm(folder, { recursive: true, force: true })
})

const directory = (name: string): string => pathToFileURL(join(folder, name)).href

/** A VM `files-1` with two points of two disks, the newer one last, and a VM `other`. */
async function makeRepository(store: Awaited<ReturnType<typeof openStore>>): Promise<Made> {
  const repository = await openRepository(store, { create: true, blockSize: BLOCK })
  const older = await addPoint(repository, 'files-1', '2026-03-01T10:00:00.000Z', [Buffer.alloc(3 * MiB), disk.subarray(0, MiB)])
  const pointId = await addPoint(repository, 'files-1', '2026-03-02T10:00:00.000Z', [disk, Buffer.alloc(MiB)])
  await addPoint(repository, 'other', '2026-03-03T10:00:00.000Z', [disk.subarray(0, MiB)])
  return { url: store.url, pointId, older }
}

async function addPoint(repository: Repository, name: string, createdAt: string, disks: readonly Buffer[]): Promise<string> {
  const images = []
  for (const [at, content] of disks.entries()) {
    const root = await addImage(repository, content)
    images.push({
      imageId: root.imageId,
      diskId: `virtio${at}`,
      diskSize: content.length,
      blockSize: BLOCK,
      kind: 'full' as const,
      reason: 'first',
      rootKey: await repository.putRoot(root),
      merkleRoot: merkleRoot(root).toString('hex'),
      cbt: true,
      read: content.length,
      stored: 1,
    })
  }
  const restorePointId = randomUUID()
  await repository.putManifest({
    restorePointId,
    vm: { id: `vm-${name}`, platformId: 'lab', platformVmId: name, name },
    createdAt,
    checkpointId: '1',
    parentId: null,
    config: { secretOfTheVm: 1 },
    images,
  })
  return restorePointId
}

async function addImage(repository: Repository, content: Buffer): Promise<Root> {
  const ids = randomObjectIds()
  const writer = repository.packWriter(ids)
  const pages: Page[] = []
  for (let p = 0; p < pageCount(content.length, BLOCK); p++) {
    const page = Page.empty(p, blocksInPage(content.length, BLOCK, p))
    for (let i = 0; i < page.blockCount; i++) {
      const bytes = content.subarray((p * 1024 + i) * BLOCK, (p * 1024 + i + 1) * BLOCK)
      if (bytes.every(byte => byte === 0)) continue
      const hash = formatHash(bytes)
      page.setStored(i, hash, await writer.add(hash, bytes))
    }
    pages.push(page)
  }
  await writer.finish()
  const { refs } = await repository.putMap(ids, pages)
  return {
    imageId: randomUUID(),
    diskSize: content.length,
    blockSize: BLOCK,
    pages: PageRefs.from(refs.filter(({ storedBlocks }) => storedBlocks > 0)),
  }
}

interface Answer {
  readonly code: number | null
  readonly out: Buffer
  readonly err: string
}

function varve(args: readonly string[], env: Record<string, string> = {}): Promise<Answer> {
  return end(spawn(process.execPath, [BIN, 'extract', ...args], { cwd: folder, env: { PATH: process.env.PATH ?? '', ...env } }))
}

function end(child: ChildProcess): Promise<Answer> {
  const out: Buffer[] = []
  let err = ''
  child.stdout?.on('data', part => out.push(part))
  child.stderr?.on('data', part => {
    err += part
  })
  return new Promise(resolve => child.once('close', code => resolve({ code, out: Buffer.concat(out), err })))
}

const sum = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** A copy of the whole repository, to break. */
async function copy(name: string): Promise<string> {
  await cp(join(folder, 'whole'), join(folder, name), { recursive: true })
  return join(folder, name)
}

async function filesUnder(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  return entries.filter(entry => entry.isFile()).map(entry => join(entry.parentPath ?? entry.path, entry.name))
}

async function flip(file: string, at: number): Promise<void> {
  const bytes = await readFile(file)
  bytes[at] = (bytes[at] ?? 0) ^ 1
  await writeFile(file, bytes)
}

/** The objects of a kind that hold the most: those of the large disk. */
async function largest(path: string): Promise<string> {
  const files = await filesUnder(path)
  const sizes = await Promise.all(files.map(async file => ({ file, size: (await stat(file)).size })))
  return sizes.sort((a, b) => b.size - a.size)[0]!.file
}

test('a disk comes out of a directory as it was, sparse, and needs nothing else', async () => {
  const { code, out, err } = await varve(['--repository', directory('whole'), '--vm', 'files-1', '--disk', '0', '-o', 'a.img', '--json'])
  expect([code, err]).toEqual([0, ''])
  const file = join(folder, 'a.img')
  expect(sum(await readFile(file))).toBe(sum(disk))
  const summary = JSON.parse(out.toString())
  expect(summary).toMatchObject({ vmName: 'files-1', diskId: 'virtio0', diskSize: SIZE, damage: [], output: 'a.img' })
  expect(summary.bytes).toBe(73 * BLOCK - BLOCK + 1536)
  // Only data takes room, and of the half-empty block only one half.
  expect((await stat(file)).blocks * 512).toBeLessThan(73 * BLOCK)
  expect(existsSync(`${file}.partial`)).toBe(false)
  expect(summary.gets).toBeGreaterThan(3)
})

test('standard output has the whole disk in order, and says the rest on stderr', async () => {
  const { code, out, err } = await varve(['--repository', join(folder, 'whole'), '--vm', 'files-1', '--disk', 'virtio0', '-o', '-'])
  expect(code).toBe(0)
  expect(out.length).toBe(SIZE)
  expect(sum(out)).toBe(sum(disk))
  expect(err).toMatch(/files-1 virtio0 .* every block checked/)
})

test('points are listed with what went wrong, and chosen by id, prefix, VM and latest', async () => {
  const path = await copy('listed')
  const env = { VARVE_REPOSITORY_URL: path }
  const points = JSON.parse((await varve(['--list', '--json'], env)).out.toString())
  expect(points.map((point: { vm: { name: string } }) => point.vm.name)).toEqual(['other', 'files-1', 'files-1'])
  expect(JSON.stringify(points)).not.toContain('secretOfTheVm')
  const older = points[2].restorePointId
  const out = (await varve(['--list', '--vm', 'files-1'], env)).out.toString()
  expect(out).toMatch(/^POINT +VM +AT +DISK +KIND +SIZE +STORED\n\S+ +files-1 .* 0 virtio0 +full \(first\) +160 MiB/)
  for (const point of [older, older.slice(0, 8)]) {
    expect((await varve(['--point', point, '--disk', '0', '-o', 'old.img', '--force'], env)).code).toBe(0)
    expect((await stat(join(folder, 'old.img'))).size).toBe(3 * MiB)
  }
  expect((await varve(['--point', 'other', '-o', 'other.img'], env)).code).toBe(0)
  expect(sum(await readFile(join(folder, 'other.img')))).toBe(sum(disk.subarray(0, MiB)))
  const wrong = [
    [['-o', 'x.img'], 2, 'AMBIGUOUS'],
    [['--vm', 'files-1', '-o', 'x.img'], 2, 'AMBIGUOUS'],
    [['--vm', 'files-1', '--disk', '2', '-o', 'x.img'], 3, 'NOT_FOUND'],
    [['--vm', 'nobody', '-o', 'x.img'], 3, 'NOT_FOUND'],
    [['--point', '0123456789', '-o', 'x.img'], 3, 'NOT_FOUND'],
    [['--vm', 'other', '-o', 'other.img'], 1, 'OUTPUT_EXISTS'],
    [['--vm', 'other', '-o', '/dev/null', '--force'], 1, 'OUTPUT_EXISTS'],
    [['--vm', 'other', '-o', 'no/such/folder.img'], 1, 'OUTPUT_FAILED'],
    [['--repository', join(folder, 'nowhere'), '--list'], 3, 'REPOSITORY_NOT_FOUND'],
  ] as const
  const answers = await Promise.all(wrong.map(([args]) => varve(args, env)))
  expect(answers.map(({ code, err }) => [code, err.split(':')[0]])).toEqual(wrong.map(([, code, name]) => [code, name]))
  expect(existsSync(join(folder, 'nowhere'))).toBe(false)
  expect(existsSync(join(folder, 'x.img'))).toBe(false)
})

test('a manifest of a newer version or a damaged one is said in the list and refused by itself; the others still work', async () => {
  const path = await copy('future')
  const [newer, damaged] = (await filesUnder(join(path, 'points'))).filter(file => file.includes('vm-files-1')).sort()
  const { sha256: _old, ...manifest } = JSON.parse(await readFile(newer!, 'utf8'))
  const canonical = sealed({ ...manifest, version: 2 })
  await writeFile(newer!, canonical)
  await flip(damaged!, 200)
  const points = JSON.parse((await varve(['--repository', path, '--list', '--json'])).out.toString())
  expect(points.map((point: { error?: { code: string } }) => point.error?.code)).toEqual([
    undefined,
    'MANIFEST_INVALID',
    'MANIFEST_VERSION_UNKNOWN',
  ])
  const refused = await varve(['--repository', path, '--point', manifest.restorePointId, '--disk', '0', '-o', 'never.img'])
  expect([refused.code, refused.err.split(':')[0]]).toEqual([1, 'MANIFEST_VERSION_UNKNOWN'])
  expect((await varve(['--repository', path, '--vm', 'other', '-o', 'still.img'])).code).toBe(0)
})

test.each<[name: string, kind: string, code: string, bytes: number, breakIt: (file: string) => Promise<void>]>([
  ['a flipped bit costs one block', 'packs', 'BLOCK_DAMAGED', BLOCK, file => flip(file, 5 * BLOCK)],
  ['a missing pack costs its blocks', 'packs', 'BLOCK_DAMAGED', 72 * BLOCK + 1536, file => rm(file)],
  ['a missing map costs its pages', 'maps', 'MAP_MISSING', SIZE, file => rm(file)],
  ['a flipped bit in a map costs its page', 'maps', 'MAP_DAMAGED', PAGE, file => flip(file, 200)],
])('%s', async (name, kind, code, bytes, breakIt) => {
  const path = await copy(name.replaceAll(' ', '-'))
  await breakIt(await largest(join(path, kind)))
  const args = ['--repository', path, '--vm', 'files-1', '--disk', '0', '-o', `${name}.img`]
  const failed = await varve(args)
  expect([failed.code, failed.err.match(/^([A-Z_]+): .*cannot be read back: ([A-Z_]+)/m)?.slice(1)]).toEqual([1, ['DATA_DAMAGED', code]])
  expect((await readdir(folder)).filter(file => file.startsWith(name))).toEqual([])
  const went = await varve([...args, '--on-damage', 'continue', '--json'])
  expect(went.code).toBe(5)
  const { damage } = JSON.parse(went.out.toString()) as { damage: { offset: number; length: number; code: string }[] }
  expect(new Set(damage.map(range => range.code))).toEqual(new Set([code]))
  expect(damage.reduce((total, { length }) => total + length, 0)).toBe(bytes)
  const expected = Buffer.from(disk)
  for (const { offset, length } of damage) expected.fill(0, offset, offset + length)
  expect(sum(await readFile(join(folder, `${name}.img`)))).toBe(sum(expected))
})

test('a block map that is gone or another one ends it, also when damage may be left out', async () => {
  const path = await copy('rootless')
  const root = await largest(join(path, 'images'))
  const other = (await filesUnder(join(path, 'images'))).find(file => file !== root)!
  const args = ['--repository', path, '--vm', 'files-1', '--disk', '0', '-o', 'rootless.img', '--on-damage', 'continue']
  await cp(other, root)
  const exchanged = await varve(args)
  await rm(root)
  const gone = await varve(args)
  for (const { code, err } of [exchanged, gone]) expect([code, err.split(':')[0]]).toEqual([1, 'DATA_DAMAGED'])
  expect(existsSync(join(folder, 'rootless.img'))).toBe(false)
})

test('the same from an S3 server; without its keys it is no access', async ctx => {
  if (typeof minio === 'string') return ctx.skip(minio)
  const { endpoint, accessKey, secretKey } = minio.settings
  const url = 's3://extract/site-a'
  const store = await openStore(url, minio.settings)
  const { pointId } = await makeRepository(store)
  await store.close()
  const args = ['--repository', url, '--s3-endpoint', endpoint, '--point', pointId, '--disk', '0', '--threads', '2', '-o', 's3.img']
  const env = { VARVE_S3_ACCESS_KEY: accessKey, VARVE_S3_SECRET_KEY: secretKey }
  const { code, err } = await varve(args, env)
  expect([code, err.split('\n').at(-2)]).toEqual([0, expect.stringMatching(/every block checked$/)])
  expect(sum(await readFile(join(folder, 's3.img')))).toBe(sum(disk))
  const denied = await varve([...args, '--force'], { ...env, VARVE_S3_SECRET_KEY: 'wrong-secret-key' })
  expect([denied.code, denied.err.split(':')[0]]).toEqual([4, 'STORE_DENIED'])
})

/** A manifest as a Varve of another version would have sealed it. */
function sealed(value: Record<string, unknown>): string {
  return JSON.stringify({ ...value, sha256: sum(Buffer.from(canonicalOf(value))) })
}

function canonicalOf(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalOf).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonicalOf(member)}`).join(',')}}`
}
