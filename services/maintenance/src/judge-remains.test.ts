import { randomUUID } from 'node:crypto'
import type { RunFacts } from '@varve/catalog-client'
import { expect, test } from 'vitest'
import { FAILED_VM_S, judgeMadeVm, judgeSnapshot, runOfSnapshot, runOfVm, whyKept } from './judge-remains.ts'

const id = randomUUID()
const run = (over: Partial<RunFacts>): RunFacts => ({ kind: 'restore', outcome: null, endedAt: null, ...over }) as RunFacts
const vm = { id: 'made', power: 'off' } as const
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
  expect(judgeMadeVm(undefined, vm)).toBe('vm-of-unknown-run')
  expect(judgeMadeVm(run({}), vm)).toBeNull()
  expect(judgeMadeVm(run({ outcome: 'failed' }), vm)).toBeNull()
  for (const outcome of ['succeeded', 'succeeded-with-damage'] as const) {
    const of = (targetPlatformVmId: string, kind: RunFacts['kind'] = 'restore') =>
      run({ endedAt: ended, outcome, targetPlatformVmId, kind })
    expect(judgeMadeVm(of('made'), vm)).toBeNull()
    expect(judgeMadeVm(of('another'), vm)).toBe('second-vm-of-restore')
    expect(judgeMadeVm(of('another'), { ...vm, power: 'on' })).toBeNull()
    expect(judgeMadeVm(of('another', 'backup'), vm)).toBeNull()
  }
  for (const outcome of ['failed', 'cancelled'] as const) {
    expect(judgeMadeVm(run({ endedAt: ended, outcome }), vm)).toBe('vm-of-failed-restore')
    // No VM is made for a backup: somebody copied the text.
    expect(judgeMadeVm(run({ endedAt: ended, outcome, kind: 'backup' }), vm)).toBeNull()
  }
})

test('the VM of a failed restore is deleted soon after, or not at all', () => {
  const at = Date.parse(ended)
  expect(whyKept({ endedAt: ended }, at + FAILED_VM_S * 1000)).toBeNull()
  expect(whyKept({ endedAt: ended }, at + FAILED_VM_S * 1000 + 1)).toMatch(/somebody may have used/)
  expect(whyKept({ endedAt: null }, at)).not.toBeNull()
})
