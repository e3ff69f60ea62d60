import { expect, test } from 'vitest'
import { type Fault, SUCCEEDS } from './driver/fault.ts'
import { merged, type Recorded } from './record.ts'
import { tableOf } from './table.ts'

function fault(name: string): Fault {
  return { name, title: `what ${name} does`, where: ['queued'], quick: [], inject: async () => {}, expect: SUCCEEDS }
}

function outcome(name: string, more: Partial<Recorded> = {}): Recorded {
  return {
    seed: 1,
    date: '2026-01-01',
    fault: name,
    point: 'queued',
    state: 'succeeded',
    reason: null,
    recoverMs: 1000,
    problems: [],
    ...more,
  }
}

const [a, b, c] = [fault('a'), fault('b'), fault('c')]

test('a run of some faults replaces their rows and keeps the others; what is gone is forgotten', () => {
  const before = [outcome('gone'), outcome('b'), outcome('a')]
  const now = [outcome('b', { recoverMs: 5, seed: 2 }), outcome('b', { seed: 2 })]
  expect(merged(before, [a, b, c], [b], now)).toEqual([outcome('a'), ...now])
})

test('the table counts, says what was not as it should be, and what was not run', () => {
  const bad = outcome('b', { state: 'failed', reason: 'X', recoverMs: 3000, problems: ['the run is failed'] })
  const text = tableOf([a, b, c], [outcome('a'), outcome('b'), bad])
  expect(text).toContain('3 injections of 2 faults, 2 as the table says')
  expect(text).toContain('| `b`: what b does | queued | 2 | succeeded, failed (X) | 3.0 s | 3.0 s | 1, 2026-01-01 |')
  expect(text).toContain('- b, queued: the run is failed')
  expect(text).toContain('## Not run yet\n\n- `c`: what c does')
})
