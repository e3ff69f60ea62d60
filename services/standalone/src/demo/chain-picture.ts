import type { RestorePoint } from '@varve/catalog-client'
import { bold, cyan, dim, formatBytes, green } from './paint.ts'

/** The chain as layers, newest on top like sediment: width by what each point added to the repository. */
export function drawChain(points: readonly RestorePoint[]): string {
  const newestFirst = [...points].sort((a, b) => b.createdAt.localeCompare(a.createdAt))
  const most = Math.max(1, ...points.map(point => point.stored))
  const lines = newestFirst.map((point, index) => {
    const full = point.images.some(image => image.kind === 'full')
    const width = Math.max(1, Math.round((point.stored / most) * 40))
    const layer = (full ? '█' : '▓').repeat(width)
    const reasons = [...new Set(point.images.map(image => image.reason).filter(reason => reason !== null))]
    const kind = full ? `full (${reasons.join(', ')})` : 'incremental'
    const read = point.images.reduce((sum, image) => sum + image.read, 0)
    return `   ${bold(`t${newestFirst.length - 1 - index}`)} ${full ? cyan(layer) : green(layer)} ${kind}, read ${formatBytes(read)}, stored ${formatBytes(point.stored)} ${dim(point.id.slice(0, 8))}`
  })
  return lines.join(`\n${dim('   ┆')}\n`)
}
