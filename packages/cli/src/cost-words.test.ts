import { expect, test } from 'vitest'
import type { PredictionInfo } from './api-types.ts'
import { comparedText } from './cost-words.ts'

const basis = { from: 'vm', runs: 3 } as const
const prediction: PredictionInfo = {
  of: 'backup',
  disks: [],
  planned: 1024,
  read: 2 * 1024 ** 3,
  exact: false,
  stored: 1024 ** 3,
  puts: 60,
  gets: 100,
  seconds: 90,
  secondsBasis: basis,
  price: { currency: 'EUR', run: 0.0005, perMonth: 0.023 },
  previewId: null,
}
const actual = {
  read: 1024 ** 3,
  stored: 900 * 1024 ** 2,
  puts: 55,
  seconds: 80,
  price: { currency: 'EUR', run: 0.0004, perMonth: 12_345.678 },
}

test('expected and actual stand side by side', () => {
  expect(comparedText({ prediction, actual }).split('\n')).toEqual([
    '                         EXPECTED         ACTUAL',
    'read             at most 2.00 GiB       1.00 GiB',
    'stored                   1.00 GiB        900 MiB',
    'PUTs                           60             55',
    'time                   1 min 30 s     1 min 20 s',
    'price               0.0005000 EUR  0.0004000 EUR',
    'price per month       0.02300 EUR      12346 EUR',
  ])
})

test('without one of the two there is nothing to compare', () => {
  expect(comparedText({ prediction, actual: null })).toBe('')
  expect(comparedText({ prediction: null, actual })).toBe('')
})
