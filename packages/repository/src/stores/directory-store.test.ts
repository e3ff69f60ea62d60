import { execFile, spawn } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openStore } from '../open-store.ts'
import type { Store } from '../store.ts'
import { fileError } from './file-errors.ts'
import { withTimeLimit } from './time-limit.ts'

let folder: string
let store: Store
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'varve-store-'))
  store = await openStore(pathToFileURL(folder).href)
})
afterEach(() => rm(folder, { recursive: true, force: true }))

/** The built package: other processes cannot load its sources. */
const BUILT = fileURLToPath(new URL('../../dist/index.js', import.meta.url))

test('opens under names that URLs must encode', async () => {
  const odd = join(folder, 'with space, ü and 100%')
  const other = await openStore(pathToFileURL(`${odd}/`).href)
  await other.put('a/b', Buffer.from('x'))
  expect(await readFile(join(odd, 'a/b'), 'utf8')).toBe('x')
})

test('leaves nothing but the object behind, and removes what a crash left long ago', async () => {
  await store.put('a/b', Buffer.from('x'))
  expect(await readdir(join(folder, '.tmp'))).toEqual([])
  await writeFile(join(folder, '.tmp', 'old'), 'half')
  await writeFile(join(folder, '.tmp', 'new'), 'half')
  await utimes(join(folder, '.tmp', 'old'), 1, 1)
  await openStore(pathToFileURL(folder).href)
  expect(await readdir(join(folder, '.tmp'))).toEqual(['new'])
})

test('a directory that went away, or another in its place, is an error: nothing is absent, nothing is written', async () => {
  await store.put('a/b', Buffer.from('x'))
  const unavailable = { code: 'STORE_UNAVAILABLE' }
  const away = `${folder}-away`
  await rename(folder, away)
  for (const place of ['nothing', 'another directory']) {
    if (place !== 'nothing') await mkdir(folder)
    await expect(store.put('a/c', Buffer.from('x'))).rejects.toMatchObject(unavailable)
    await expect(store.put('a/c', Buffer.from('x'))).rejects.toMatchObject(unavailable)
    await expect(store.get('a/b')).rejects.toMatchObject(unavailable)
    await expect(store.list('a/')[Symbol.asyncIterator]().next()).rejects.toMatchObject(unavailable)
  }
  expect(await readdir(folder)).toEqual([])
  await rm(folder, { recursive: true })
  await rename(away, folder)
  await store.put('a/c', Buffer.from('x'))
})

test('a folder that somebody removed in the meantime is made again at the next try', async () => {
  await store.put('a/b', Buffer.from('x'))
  await rm(join(folder, 'a'), { recursive: true })
  await store.put('a/b', Buffer.from('x')).catch(() => store.put('a/b', Buffer.from('x')))
  expect((await store.get('a/b')).length).toBe(1)
})

test('a folder where an object should be is no object', async () => {
  await mkdir(join(folder, 'a/b'), { recursive: true })
  await expect(store.get('a')).rejects.toMatchObject({ code: 'OBJECT_NOT_FOUND' })
})

describe('errors of the file system', () => {
  test('a file where the directory should be', async () => {
    await writeFile(join(folder, 'file'), '')
    await expect(openStore(pathToFileURL(join(folder, 'file')).href)).rejects.toMatchObject({ name: 'RepositoryError' })
    await expect(openStore(pathToFileURL(join(folder, 'file/below')).href)).rejects.toMatchObject({ code: 'STORE_URL_INVALID' })
  })

  test('a place where nobody may write', async () => {
    const opened = openStore('file:///sys/varve-store-test')
    await expect(opened).rejects.toMatchObject({ code: expect.stringMatching(/^STORE_(DENIED|READ_ONLY)$/) })
  })

  test('no room: the object is absent, the temporary file gone, and smaller ones still fit', async () => {
    const script = `
      const { openStore } = await import(${JSON.stringify(BUILT)})
      process.on('SIGXFSZ', () => {})
      const store = await openStore(${JSON.stringify(pathToFileURL(folder).href)})
      const code = await store.put('big', Buffer.alloc(10_000_000)).then(() => 'stored', error => error.code)
      await store.put('small', Buffer.alloc(1000))
      console.log(code)`
    // A limit on the size of files is the one way to run out of room that needs no rights.
    const limited = `ulimit -f 1000; exec "$0" --input-type=module -e "$1"`
    const { stdout } = await promisify(execFile)('bash', ['-c', limited, process.execPath, script])
    expect(stdout.trim()).toBe('STORE_FULL')
    expect(await readdir(join(folder, '.tmp'))).toEqual([])
    expect((await readdir(folder)).sort()).toEqual(['.tmp', 'small'])
  })

  test.each([
    ['ENOSPC', 'STORE_FULL'],
    ['EDQUOT', 'STORE_FULL'],
    ['EROFS', 'STORE_READ_ONLY'],
    ['EACCES', 'STORE_DENIED'],
    ['EIO', 'STORE_UNAVAILABLE'],
    ['ESTALE', 'STORE_UNAVAILABLE'],
  ])('%s is %s', (errno, code) => {
    expect(fileError(Object.assign(new Error('x'), { code: errno }), 'writing', {}).code).toBe(code)
  })

  test('a file system that hangs', async () => {
    const hangs = () => new Promise<void>(() => {})
    await expect(withTimeLimit(10, 'reading', undefined, hangs)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    const abort = new AbortController()
    const waiting = withTimeLimit(60_000, 'reading', abort.signal, hangs)
    abort.abort(new Error('enough'))
    await expect(waiting).rejects.toThrow('enough')
  })
})

test('a process killed while it writes leaves whole objects or none', async () => {
  const script = `
    const { openStore } = await import(${JSON.stringify(BUILT)})
    const store = await openStore(${JSON.stringify(pathToFileURL(folder).href)})
    for (let i = 0; ; i++) {
      await Promise.all([0, 1, 2].map(n => store.put('k/' + (i % 5) + '/' + n, Buffer.alloc(3_000_000, i))))
      console.log(i)
    }`
  for (let round = 0; round < 3; round++) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    const ended = new Promise(resolve => child.once('close', resolve))
    let lines = 0
    await new Promise<void>(resolve => child.stdout.on('data', () => ++lines > round + 1 && resolve()))
    child.kill('SIGKILL')
    await ended
    let objects = 0
    for await (const { key, size } of store.list('')) {
      const bytes = Buffer.from(await store.get(key))
      expect([size, bytes.equals(Buffer.alloc(3_000_000, bytes[0]))]).toEqual([3_000_000, true])
      objects += 1
    }
    expect(objects).toBeGreaterThan(2)
  }
})
