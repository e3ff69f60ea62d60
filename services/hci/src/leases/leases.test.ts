import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLogger } from '@varve/runtime'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { remainSeconds } from './lease.ts'
import { Leases } from './leases.ts'

const log = createLogger('hci', 'silent')
let folder: string
let file: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'varve-leases-'))
  file = join(folder, 'leases.json')
})
afterEach(async () => {
  vi.useRealTimers()
  await rm(folder, { recursive: true, force: true })
})

test('one lease a VM: a second is occupied until the first has ended', async () => {
  const leases = await Leases.open(file, log)
  const first = await leases.create('vm', 'backup', 60)
  await expect(leases.create('vm', 'restore', 60)).rejects.toMatchObject({ code: 'LEASE_OCCUPIED' })
  await leases.create('other', 'backup', 60)
  await leases.end(first.id, 'released')
  expect(leases.get(first.id).status).toBe('released')
  await leases.create('vm', 'restore', 60)
  await leases.close()
})

test('two at the same instant: one wins', async () => {
  const leases = await Leases.open(file, log)
  const results = await Promise.allSettled([leases.create('vm', 'backup', 60), leases.create('vm', 'backup', 60)])
  expect(results.map(r => r.status).sort()).toEqual(['fulfilled', 'rejected'])
  await leases.close()
})

test('it counts down, is renewed, and ends when its time is over', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] })
  const leases = await Leases.open(file, log)
  const ended: string[] = []
  leases.onEnd = lease => ended.push(lease.status)
  const { id, secret } = await leases.create('vm', 'backup', 60)
  vi.advanceTimersByTime(40_000)
  expect(remainSeconds(leases.get(id), Date.now())).toBe(20)
  await leases.renew(id, 100)
  vi.advanceTimersByTime(99_000)
  expect(leases.bySecret(secret)?.id).toBe(id)
  expect(ended).toEqual([])
  vi.advanceTimersByTime(1_000)
  expect(ended).toEqual(['expired'])
  expect(leases.bySecret(secret)).toBe(undefined)
  expect(leases.holding('vm')).toBe(undefined)
  expect(leases.get(id).status).toBe('expired')
  await expect(leases.renew(id, 60)).rejects.toMatchObject({ code: 'LEASE_NOT_FOUND' })
  await leases.close()
})

test('a restart keeps running leases with what is left of their time, and drops the rest', async () => {
  const first = await Leases.open(file, log)
  const kept = await first.create('vm', 'backup', 120)
  await first.noteSnapshotRead(kept.id, 's1')
  const short = await first.create('short', 'backup', 60)
  const released = await first.create('released', 'backup', 60)
  await first.end(released.id, 'released')
  await first.close()

  const second = await Leases.open(file, log, Date.now() + 61_000)
  expect(second.get(kept.id)).toMatchObject({ secret: kept.secret, expiresAt: kept.expiresAt, snapshotsRead: ['s1'] })
  expect(second.holding('vm')?.id).toBe(kept.id)
  expect(() => second.get(short.id)).toThrow('no backup resource')
  expect(() => second.get(released.id)).toThrow('no backup resource')
  await second.close()
})

test.each([['not json'], ['{}'], ['[1, null, {"id": 5}]']])('a file with %s starts without leases', async text => {
  await writeFile(file, text)
  const leases = await Leases.open(file, log)
  expect(leases.running()).toEqual([])
  await leases.create('vm', 'backup', 60)
  expect(JSON.parse(await readFile(file, 'utf8'))).toHaveLength(1)
  await leases.close()
})
