import { randomUUID } from 'node:crypto'
import type { RunFacts } from '@varve/catalog-client'
import { expect, test } from 'vitest'
import { judgeMadeVm, judgeSnapshot, runOfSnapshot, runOfVm } from './judge-remains.ts'

const id = randomUUID()
const run = (over: Partial<RunFacts>): RunFacts => ({ kind: 'restore', outcome: null, endedAt: null, ...over }) as RunFacts
const ended = '2026-03-01T10:00:00.000Z'

test.each([
  [`varve-${id}`, id],
  [`varve-${id}-reset`, id],
  [`nightly varve-${id}`, null],
  ['varve-by-hand', null],
  [`varve-x${id}`, null],
  ['', null],
])('snapshot %s is of run %s', (name, of) => {
  expect(runOfSnapshot(name)).toBe(of)
})

test('a VM was made for the run that its description ends with', () => {
  expect(runOfVm({ description: `mail (varve ${id})` })).toBe(id)
  for (const description of [`(varve ${id}) since`, '(varve by-hand)', `(varve ${id}-2)`, '']) expect(runOfVm({ description })).toBeNull()
})

test('an owner that has not ended owns; what succeeded left the VM to its user, but no snapshot to anybody', () => {
  expect(judgeSnapshot(run({}))).toBeNull()
  expect(judgeSnapshot(run({ endedAt: ended, outcome: 'succeeded' }))).toBe('snapshot-of-ended-run')
  expect(judgeSnapshot(undefined)).toBe('snapshot-of-unknown-run')
  expect(judgeMadeVm(undefined)).toBe('vm-of-unknown-run')
  expect(judgeMadeVm(run({}))).toBeNull()
  expect(judgeMadeVm(run({ outcome: 'failed' }))).toBeNull()
  for (const outcome of ['succeeded', 'succeeded-with-damage'] as const) expect(judgeMadeVm(run({ endedAt: ended, outcome }))).toBeNull()
  for (const outcome of ['failed', 'cancelled'] as const) {
    expect(judgeMadeVm(run({ endedAt: ended, outcome }))).toBe('vm-of-failed-restore')
    // No VM is made for a backup: somebody copied the text.
    expect(judgeMadeVm(run({ endedAt: ended, outcome, kind: 'backup' }))).toBeNull()
  }
})
