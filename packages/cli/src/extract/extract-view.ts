import cliProgress from 'cli-progress'
import type { Session } from '../session.ts'
import { formatBytes, formatDuration } from '../units.ts'
import type { ExtractView } from './run-extract.ts'

/** A plain log gets a line at each tenth. */
const PLAIN_STEPS = 10

/** A bar with rate on a terminal, lines elsewhere, nothing with --json. All on stderr. */
export function extractView(session: Session, json: boolean): ExtractView & { end(): void } {
  let name = ''
  let total = 0
  let startedAt = 0
  let said = 0
  let bar: cliProgress.SingleBar | undefined
  return {
    begin(what) {
      name = `${what.manifest.vm.name} ${what.image.diskId}`
      total = what.total
      startedAt = Date.now()
      if (json || !process.stderr.isTTY) return
      bar = new cliProgress.SingleBar(
        { format: '{name} {bar} {percentage} % {pace}', stream: process.stderr, hideCursor: true, barsize: 30 },
        cliProgress.Presets.shades_classic,
      )
      bar.start(Math.max(1, total), 0, { name, pace: '' })
    },
    progress(done) {
      const ms = Date.now() - startedAt
      const left = done > 0 && done < total ? `, ${formatDuration((ms * (total - done)) / done)} left` : ''
      const pace = ms > 0 ? `${formatBytes((done * 1000) / ms)}/s${left}` : ''
      if (bar !== undefined) return bar.update(done, { name, pace })
      const step = Math.floor((done * PLAIN_STEPS) / Math.max(1, total))
      if (json || step === said) return
      said = step
      session.remark(`${name}: ${step * PLAIN_STEPS} %, ${pace}`)
    },
    end() {
      bar?.stop()
    },
  }
}
