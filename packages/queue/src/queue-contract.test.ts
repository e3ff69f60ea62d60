import { type ChildProcess, spawn } from 'node:child_process'
import { createLogger, sleep } from '@varve/runtime'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { QueueError } from './errors.ts'
import { openQueue, type QueueOptions } from './open-queue.ts'
import type { Job, JobPriority, QueueDoor } from './queue.ts'
import { type ContractServer, postgresServer, redisServer } from './testing/contract-servers.ts'

const log = createLogger('test', 'fatal')
const FAST: Omit<QueueOptions, 'log'> = { attempts: 3, backoffMs: 20, lockDurationMs: 1000, stalledIntervalMs: 300 }

async function until(what: string, condition: () => boolean | Promise<boolean>, ms = 15_000): Promise<void> {
  const deadline = performance.now() + ms
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`timed out waiting until ${what}`)
    await sleep(20)
  }
}

describe.each([
  ['Redis', redisServer],
  ['Postgres', postgresServer],
])('the queue door on %s', (_name, startServer) => {
  let server: ContractServer | string
  const doors: QueueDoor[] = []
  const children: ChildProcess[] = []
  let prefixes = 0

  beforeAll(async () => {
    server = await startServer()
  })
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL')
    await Promise.all(doors.splice(0).map(door => door.close()))
  })
  afterAll(async () => {
    if (typeof server === 'object') await server.close()
  })

  const live = (ctx: { skip(reason: string): never | void }): ContractServer => {
    if (typeof server === 'string') ctx.skip(server)
    return server as ContractServer
  }
  /** Each test has its own names in the server. */
  const freshPrefix = (): string => `t${++prefixes}`
  const open = async (url: string, options: Partial<QueueOptions> = {}): Promise<QueueDoor> => {
    const door = await openQueue(url, { log, prefix: freshPrefix(), ...FAST, ...options })
    doors.push(door)
    return door
  }

  test('a job reaches a worker with its payload', async ctx => {
    const door = await open(live(ctx).url)
    const seen: Job<'read-range'>[] = []
    await door.work('read-range', async job => void seen.push(job), { concurrency: 2 })
    await door.add('read-range', { runId: 'run', rangeId: 'range:1' }, { id: 'run:range:1' })
    await until('the job is done', () => seen.length === 1)
    expect(seen[0]).toEqual({ name: 'read-range', payload: { runId: 'run', rangeId: 'range:1' }, attempt: 1, lastAttempt: false })
    await until('it is gone', async () => (await door.counts('read-range')).active === 0)
    expect(await door.counts('read-range')).toEqual({ waiting: 0, active: 0, delayed: 0, failed: 0 })
  })

  test('the same id while waiting or active is one job, afterwards a new one', async ctx => {
    const door = await open(live(ctx).url)
    for (let i = 0; i < 3; i++) await door.add('prepare-backup', { runId: 'a' }, { id: 'a-prepare' })
    await door.add('prepare-backup', { runId: '7' }, { id: '7' })
    expect((await door.counts('prepare-backup')).waiting).toBe(2)

    const runs: string[] = []
    let release = (): void => {}
    const held = new Promise<void>(resolve => {
      release = resolve
    })
    await door.work(
      'prepare-backup',
      async job => {
        runs.push(job.payload.runId)
        await held
      },
      { concurrency: 4 },
    )
    await until('both are active', async () => (await door.counts('prepare-backup')).active === 2)
    await door.add('prepare-backup', { runId: 'a' }, { id: 'a-prepare' })
    release()
    await until('both are done', async () => (await door.counts('prepare-backup')).active === 0)
    expect(runs.sort()).toEqual(['7', 'a'])

    await door.add('prepare-backup', { runId: 'a' }, { id: 'a-prepare' })
    await until('it ran again', () => runs.length === 3)
  })

  test('the higher priority first, of the same the older; the pause after a failure changes nothing', async ctx => {
    const door = await open(live(ctx).url)
    const add = (runId: string, priority?: JobPriority) =>
      door.add('finish-run', { runId }, { id: runId, ...(priority === undefined ? {} : { priority }) })
    for (const runId of ['low-1', 'low-2']) await add(runId, 'low')
    for (const runId of ['normal-1', 'normal-2']) await add(runId)
    await add('normal-3', 'normal')
    for (const runId of ['high-1', 'high-2']) await add(runId, 'high')
    expect((await door.counts('finish-run')).waiting).toBe(7)
    const order: string[] = []
    let failed = false
    await door.work(
      'finish-run',
      async ({ payload: { runId } }) => {
        if (runId === 'high-1' && !failed) {
          failed = true
          await add('normal-4')
          throw new Error('once')
        }
        order.push(runId)
        // Longer than the pause of the one that failed.
        await sleep(40)
      },
      { concurrency: 1 },
    )
    await until('all are done', () => order.length === 8)
    expect(order.filter(runId => runId !== 'high-1')).toEqual(['high-2', 'normal-1', 'normal-2', 'normal-3', 'normal-4', 'low-1', 'low-2'])
    expect(order.indexOf('high-1')).toBeLessThan(order.indexOf('low-1'))
  })

  test('a throwing handler is tried again, the last attempt is marked, the failed job does not block its id', async ctx => {
    const door = await open(live(ctx).url)
    const attempts: string[] = []
    let failing = true
    await door.work(
      'finish-run',
      async job => {
        attempts.push(`${job.attempt}${job.lastAttempt ? ' last' : ''}`)
        if (failing) throw new Error('no\u0000such \ud800 luck')
      },
      { concurrency: 1 },
    )
    await door.add('finish-run', { runId: 'a' }, { id: 'x' })
    await until('it failed for good', async () => (await door.counts('finish-run')).failed === 1)
    expect(attempts).toEqual(['1', '2', '3 last'])

    failing = false
    await door.add('finish-run', { runId: 'a' }, { id: 'x' })
    await until('it ran again', () => attempts.length === 4)
    expect(attempts[3]).toBe('1')
    expect((await door.counts('finish-run')).failed).toBe(0)
  })

  test('a delayed job waits', async ctx => {
    const door = await open(live(ctx).url)
    const started = performance.now()
    let done = 0
    await door.work(
      'write-range',
      async () => {
        done = performance.now()
      },
      { concurrency: 1 },
    )
    await door.add('write-range', { runId: 'a', rangeId: 'b' }, { id: 'x', delayMs: 300 })
    expect((await door.counts('write-range')).delayed).toBe(1)
    await until('it ran', () => done > 0)
    expect(done - started).toBeGreaterThanOrEqual(299)
  })

  test('NUL and lone surrogates in ids and payloads do no harm', async ctx => {
    const door = await open(live(ctx).url)
    const seen: string[] = []
    await door.work('prepare-restore', async job => void seen.push(job.payload.runId), { concurrency: 1 })
    await door.add('prepare-restore', { runId: 'a\u0000b' }, { id: 'x\u0000:\ud800' })
    await until('it ran', () => seen.length === 1)
    expect(seen).toEqual(['ab'])
  })

  test('a job of a killed worker is done by another', async ctx => {
    const { url } = live(ctx)
    const prefix = freshPrefix()
    const door = await open(url, { prefix })
    // The built package: a child process of plain Node can't load TypeScript.
    const code = `
      import { openQueue } from ${JSON.stringify(new URL('../dist/index.js', import.meta.url).href)}
      import { createLogger } from '@varve/runtime'
      const door = await openQueue(${JSON.stringify(url)}, { log: createLogger('child', 'fatal'), ...${JSON.stringify({ ...FAST, prefix })} })
      await door.work('seal-restore-point', () => new Promise(() => console.log('took')), { concurrency: 1 })
    `
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
      cwd: new URL('..', import.meta.url),
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    children.push(child)
    const took = new Promise<void>((resolve, reject) => {
      child.stdout.once('data', () => resolve())
      child.once('exit', () => reject(new Error('the child ended too early')))
    })
    await door.add('seal-restore-point', { runId: 'a' }, { id: 'a' })
    await took
    child.removeAllListeners('exit')
    child.kill('SIGKILL')
    const seen: Job<'seal-restore-point'>[] = []
    await door.work('seal-restore-point', async job => void seen.push(job), { concurrency: 1 })
    await until('another worker did it', () => seen.length === 1)
    expect(seen[0]).toMatchObject({ payload: { runId: 'a' }, attempt: 2, lastAttempt: false })
  })

  test('a job longer than its lock is not given to another worker', async ctx => {
    const prefix = freshPrefix()
    const [one, two] = [await open(live(ctx).url, { prefix }), await open(live(ctx).url, { prefix })]
    let runs = 0
    const slow = async (): Promise<void> => {
      runs++
      await sleep(2500)
    }
    await one.work('read-range', slow, { concurrency: 1 })
    await two.work('read-range', slow, { concurrency: 1 })
    await one.add('read-range', { runId: 'a', rangeId: 'b' }, { id: 'x' })
    await until('it is active', async () => (await one.counts('read-range')).active === 1)
    await until('it is done', async () => (await one.counts('read-range')).active === 0)
    expect(runs).toBe(1)
  })

  test('close waits for the job under way, then aborts it; the job goes back without using up an attempt', async ctx => {
    const prefix = freshPrefix()
    const door = await open(live(ctx).url, { prefix })
    const events: string[] = []
    const patient = await door.work(
      'finish-run',
      async () => {
        events.push('started')
        await sleep(200)
        events.push('finished')
      },
      { concurrency: 1 },
    )
    await door.add('finish-run', { runId: 'a' }, { id: 'a' })
    await until('it started', () => events.length === 1)
    await patient.close()
    expect(events).toEqual(['started', 'finished'])

    const stubborn = await door.work(
      'finish-run',
      async (_job, signal) => {
        events.push('again')
        await sleep(60_000, signal)
      },
      { concurrency: 1 },
    )
    await door.add('finish-run', { runId: 'b' }, { id: 'b' })
    await until('it started', () => events.length === 3)
    await stubborn.close(50)
    expect(await door.counts('finish-run')).toEqual({ waiting: 1, active: 0, delayed: 0, failed: 0 })

    const jobs: Job<'finish-run'>[] = []
    await door.work('finish-run', async job => void jobs.push(job), { concurrency: 1 })
    await until('another took it', () => jobs.length === 1)
    expect(jobs[0]).toMatchObject({ attempt: 2, lastAttempt: false })
  })

  test('what is not a job is refused', async ctx => {
    const door = await open(live(ctx).url)
    const code = (promise: Promise<unknown>): Promise<unknown> =>
      promise.then(
        () => 'no error',
        (error: QueueError) => error.code,
      )
    expect(await code(door.add('nonsense' as 'finish-run', { runId: 'a' }, { id: 'a' }))).toBe('QUEUE_JOB_INVALID')
    expect(await code(door.add('read-range', { runId: 'a' } as never, { id: 'a' }))).toBe('QUEUE_JOB_INVALID')
    expect(await code(door.add('finish-run', { runId: 'a' }, { id: '' }))).toBe('QUEUE_JOB_INVALID')
    expect(await code(door.add('finish-run', { runId: 'a' }, { id: 'a'.repeat(257) }))).toBe('QUEUE_JOB_INVALID')
    await door.close()
    expect(await code(door.add('finish-run', { runId: 'a' }, { id: 'a' }))).toBe('QUEUE_CLOSED')
  })

  test('a database or right that is not there is QUEUE_REFUSED at once', async ctx => {
    const url = new URL(live(ctx).url.replace('@/', '@socket/'))
    url.pathname = url.protocol === 'redis:' ? '/9999' : '/nowhere'
    const started = performance.now()
    await expect(open(url.href.replace('@socket/', '@/'))).rejects.toMatchObject({ code: 'QUEUE_REFUSED' })
    expect(performance.now() - started).toBeLessThan(5000)
  })

  test('many processes may open at once', async ctx => {
    const { url } = live(ctx)
    await Promise.all(Array.from({ length: 6 }, () => open(url, { poolSize: 4 })))
  })

  test('the server is killed: add waits for it or says so, work goes on, nothing is lost', async ctx => {
    const running = live(ctx)
    const prefix = freshPrefix()
    const door = await open(running.url, { prefix })
    const hasty = await open(running.url, { prefix, callMs: 300 })
    const done = new Set<string>()
    await door.work('read-range', async job => void done.add(job.payload.rangeId), { concurrency: 2 })
    await door.add('read-range', { runId: 'a', rangeId: 'before' }, { id: 'before' })
    await until('the first is done', () => done.has('before'))

    await running.kill()
    await expect(hasty.add('read-range', { runId: 'a', rangeId: 'lost' }, { id: 'lost' })).rejects.toMatchObject({
      code: 'QUEUE_UNREACHABLE',
    })
    const patient = door.add('read-range', { runId: 'a', rangeId: 'during' }, { id: 'during' })
    // The first use of these names falls into the outage.
    const late = door.add('write-range', { runId: 'a', rangeId: 'late' }, { id: 'late' })
    const lateWorker = door.work('write-range', async job => void done.add(job.payload.rangeId), { concurrency: 1 })
    await running.start()
    await Promise.all([patient, late, lateWorker])
    await door.add('read-range', { runId: 'a', rangeId: 'after' }, { id: 'after' })
    await until('the rest is done', () => done.has('during') && done.has('after') && done.has('late'))
  })
})
