import type { Prediction, Prices, Run } from '@varve/catalog-client'
import { type Price, priceOf } from '@varve/planning'
import { reasonText } from './reason-text.ts'
import type { ActualAnswer, PredictionAnswer } from './schemas/cost.ts'

/** What was expected, and what it was, with prices. */

export function predictionAnswer({ prediction, prices }: Pick<Run, 'prediction' | 'prices'>): PredictionAnswer | null {
  if (prediction === null) return null
  const { of, disks, planned, read, exact, stored, puts, gets, seconds, secondsBasis, previewId } = prediction
  return {
    of,
    planned,
    read,
    exact,
    stored,
    puts,
    gets,
    seconds,
    secondsBasis: { ...secondsBasis },
    price: priced(prediction, of, prices),
    previewId,
    disks: disks.map(disk => ({
      ...disk,
      reasonText: reasonText(disk.reason),
      storedBasis: { ...disk.storedBasis },
      price: priced(disk, of, prices),
    })),
  }
}

/** Of a run that ended well and copied something. */
export function actualAnswer({ kind, state, startedAt, endedAt, totals, objects, images, prediction, prices }: Run): ActualAnswer | null {
  if (kind === 'preview' || startedAt === null || endedAt === null || !(state === 'succeeded' || state === 'succeeded-with-damage'))
    return null
  const backup = kind === 'backup'
  const stored = backup ? totals.written : 0
  // A root for each disk, and the manifest.
  const puts = backup ? objects + images.length + 1 : 0
  return {
    read: totals.read,
    stored,
    puts,
    seconds: (Date.parse(endedAt) - Date.parse(startedAt)) / 1000,
    price: priced({ read: totals.read, stored, puts, gets: prediction?.gets ?? 0 }, kind, prices),
  }
}

function priced(
  { read, stored, puts, gets }: { readonly read: number; readonly stored: number; readonly puts: number; readonly gets: number },
  of: Prediction['of'],
  prices: Prices | null,
): Price | null {
  return prices === null ? null : priceOf({ stored, puts, gets, fetched: of === 'restore' ? read : 0 }, prices)
}
