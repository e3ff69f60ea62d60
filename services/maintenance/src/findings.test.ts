import { expect, test } from 'vitest'
import { Findings } from './findings.ts'

const signal = new AbortController().signal

test('the same about the same thing is once; what is broken comes first', () => {
  const findings = new Findings()
  for (let n = 0; n < 3; n++) findings.add({ code: 'key-of-others', subject: 'a', message: String(n) })
  findings.add({ code: 'snapshot-of-ended-run', subject: 's', platformId: 'p1', message: '' })
  findings.add({ code: 'snapshot-of-ended-run', subject: 's', platformId: 'p2', message: '' })
  findings.add({ code: 'pack-missing', subject: 'packs/x', message: '' })
  expect(findings.list().map(({ kind }) => kind)).toEqual(['broken', 'leak', 'leak', 'note'])
  expect(findings.summary()).toMatchObject({ findings: 4, leaks: 2, broken: 1, notes: 1, swept: 0, byCode: { 'snapshot-of-ended-run': 2 } })
})

test('of too many so many are kept, and all are counted', () => {
  const findings = new Findings()
  for (let n = 0; n < 10_050; n++) findings.add({ code: 'key-of-others', subject: `k${n}`, message: '' })
  findings.add({ code: 'pack-missing', subject: 'packs/x', message: 'm'.repeat(5000) })
  expect(findings.list()).toHaveLength(10_000)
  expect(findings.list()[0]).toMatchObject({ code: 'pack-missing', message: 'm'.repeat(1000) })
  expect(findings.summary()).toMatchObject({ findings: 10_051, notes: 10_050, broken: 1 })
})

test('a sweep takes what may be taken; a failure is said with the leak and does not keep the others', async () => {
  const findings = new Findings()
  const leak = { code: 'snapshot-of-ended-run', message: 'm' } as const
  findings.add({ ...leak, subject: 'busy', takeAway: () => Promise.reject(new Error('VM is busy')) })
  findings.add({ ...leak, subject: 'fine', takeAway: async () => true })
  findings.add({ ...leak, subject: 'in use', takeAway: async () => false })
  findings.add({ ...leak, subject: 'young', takeAway: async () => 'too young' })
  findings.add({ ...leak, subject: 'forbidden', takeAway: async () => true })
  await findings.sweep(({ subject }) => subject !== 'forbidden', signal)
  expect(findings.list().map(({ subject, swept, message }) => [subject, swept, message])).toEqual([
    ['busy', false, 'm; it could not be taken away: VM is busy'],
    ['fine', true, 'm'],
    ['in use', false, 'm'],
    ['young', false, 'm; too young'],
    ['forbidden', false, 'm'],
  ])
})
