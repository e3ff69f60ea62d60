import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

const RUNTIME = new URL('../dist/index.js', import.meta.url).href
let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'varve-run-process-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

/** A process whose `open` is this text; `closer` is in scope. */
async function start(body: string): Promise<{ child: ChildProcess; output: () => string }> {
  const file = join(folder, 'main.mjs')
  await writeFile(file, `import { runProcess } from '${RUNTIME}'\nawait runProcess(async (closer, stopWithin) => {\n${body}\n})\n`)
  const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', bytes => (text += String(bytes)))
  return { child, output: () => text }
}

test('SIGTERM closes everything and ends with 0', async () => {
  const { child, output } = await start(`
    closer.add('first', () => console.log('first closed'))
    closer.add('second', () => console.log('second closed'))
    setInterval(() => {}, 1000)
    console.log('ready')`)
  await once(child.stdout!, 'data')
  child.kill('SIGTERM')
  const [code] = await once(child, 'close')
  expect(code).toBe(0)
  expect(output()).toBe('ready\nsecond closed\nfirst closed\n')
})

test('a start that fails is one line with its code, what was open is closed, and the exit code is 1', async () => {
  const { child, output } = await start(`
    closer.add('first', () => console.log('first closed'))
    throw Object.assign(new Error('port 1 is in use'), { code: 'EADDRINUSE' })`)
  const [code] = await once(child, 'close')
  expect(code).toBe(1)
  expect(output().split('\n').filter(Boolean).sort()).toEqual(['EADDRINUSE: port 1 is in use', 'first closed'])
})

test('a second signal at once is the same wish: the closing goes on to its end', async () => {
  const { child, output } = await start(`
    closer.add('slow', async () => {
      await new Promise(resolve => setTimeout(resolve, 300))
      console.log('closed')
    })
    setInterval(() => {}, 1000)
    console.log('ready')`)
  await once(child.stdout!, 'data')
  child.kill('SIGINT')
  await new Promise(resolve => setTimeout(resolve, 50))
  child.kill('SIGINT')
  const [code] = await once(child, 'close')
  expect(code).toBe(0)
  expect(output()).toBe('ready\nclosed\n')
})

test('a second signal later ends a closing that hangs', async () => {
  const { child } = await start(`
    closer.add('stuck', () => new Promise(() => {}))
    setInterval(() => {}, 1000)
    console.log('ready')`)
  await once(child.stdout!, 'data')
  child.kill('SIGTERM')
  await new Promise(resolve => setTimeout(resolve, 1300))
  child.kill('SIGTERM')
  const [code] = await once(child, 'close')
  expect(code).toBe(130)
})

test('a close that hangs ends with 1 after the time that a stop may take', async () => {
  const { child, output } = await start(`
    stopWithin(1)
    closer.add('stuck', () => new Promise(() => {}))
    setInterval(() => {}, 1000)
    console.log('ready')`)
  await once(child.stdout!, 'data')
  child.kill('SIGTERM')
  const [code] = await once(child, 'close')
  expect(code).toBe(1)
  expect(output()).toContain('stopping on SIGTERM took longer than 1 s')
})
