import { formatBytes, formatDuration } from '@varve/runtime'

/** Colour only where a person looks. */
const COLOUR = process.stdout.isTTY === true
const paint = (code: number, text: string): string => (COLOUR ? `\u001b[${code}m${text}\u001b[0m` : text)

export const bold = (text: string): string => paint(1, text)
export const dim = (text: string): string => paint(2, text)
export const green = (text: string): string => paint(32, text)
export const yellow = (text: string): string => paint(33, text)
export const cyan = (text: string): string => paint(36, text)
export const red = (text: string): string => paint(31, text)

export function bar(fraction: number, width = 32): string {
  const full = Math.round(Math.max(0, Math.min(1, fraction)) * width)
  return `${'█'.repeat(full)}${'░'.repeat(width - full)}`
}

const SHADES = ' ░▒▓█'

/** A disk from left to right; each cell is as dark as the share of it that changed. Anything at all is at least the lightest shade. */
export function strip(changed: readonly number[], blocks: number, width = 64): string {
  const cells = new Array<number>(width).fill(0)
  for (const block of changed) cells[Math.min(width - 1, Math.floor((block / blocks) * width))]! += 1
  const perCell = blocks / width
  return cells.map(count => SHADES[count === 0 ? 0 : Math.max(1, Math.min(4, Math.round((count / perCell) * 4)))]).join('')
}

/** A progress line that rewrites itself on a terminal, and is silent elsewhere. */
export function progressLine(label: string, done: number, total: number, startedAt: number): void {
  if (!COLOUR) return
  const seconds = Math.max(0.001, (Date.now() - startedAt) / 1000)
  const fraction = total === 0 ? 0 : done / total
  process.stdout.write(`\r   ${label} ${cyan(bar(fraction))} ${formatBytes(done).padStart(9)} · ${formatBytes(done / seconds)}/s   `)
}

export function clearLine(): void {
  if (COLOUR) process.stdout.write(`\r${' '.repeat(100)}\r`)
}

export function step(number: number, title: string): void {
  console.log(`\n${bold(`${number}. ${title}`)}`)
}

export function fact(text: string): void {
  console.log(`   ${text}`)
}

export { formatBytes, formatDuration }
