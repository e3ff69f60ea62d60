import { headroom, type TargetRow } from './targets.ts'

const ROW = 22
const LABEL = 380
const BAR = 320
const TEXT = 200
/** Twice as good as aimed at fills the bar. */
const MOST = 2

/** A picture of all targets: how far each figure is from its limit, drawn at half of the width. */
export function targetChart(rows: readonly TargetRow[]): string {
  const [width, height] = [LABEL + BAR + TEXT, (rows.length + 1) * ROW]
  const limit = LABEL + BAR / MOST
  const bars = rows.map((row, n) => {
    const length = (Math.min(MOST, headroom(row)) / MOST) * BAR
    const y = (n + 1) * ROW
    return [
      `<text x="${LABEL - 8}" y="${y + 15}" text-anchor="end">${escaped(row.name)}</text>`,
      `<rect x="${LABEL}" y="${y + 4}" width="${length.toFixed(1)}" height="${ROW - 8}" fill="${row.met ? '#2a7f62' : '#b3412f'}"/>`,
      `<text x="${LABEL + BAR + 8}" y="${y + 15}">${row.measured ?? 'not measured'} (${escaped(row.target)})</text>`,
    ].join('')
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">
<title>How far each figure is from its target</title>
<rect width="${width}" height="${height}" fill="#ffffff"/>
<text x="${limit}" y="14" text-anchor="middle">target</text><text x="${LABEL + BAR}" y="14" text-anchor="end">twice as good</text>
${bars.join('\n')}
<line x1="${limit}" y1="${ROW}" x2="${limit}" y2="${height}" stroke="#333333" stroke-dasharray="3 3"/>
</svg>
`
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
