import cliProgress from 'cli-progress'
import type { RunInfo } from './api-types.ts'
import type { ProgressView } from './follow.ts'
import { pace, progressLine, stateOf } from './words.ts'

/** A plain log gets a line when the state changes and at each tenth, not at each event. */
const PLAIN_STEPS = 10

/** Bars on a terminal, one a run. */
export function barView(stream: NodeJS.WriteStream): ProgressView {
  const multi = new cliProgress.MultiBar(
    { format: '{name} {bar} {percent} {state} {pace}', stream, hideCursor: true, clearOnComplete: false, barsize: 30, autopadding: false },
    cliProgress.Presets.shades_classic,
  )
  const bars = new Map<string, cliProgress.SingleBar>()
  return {
    update(run) {
      const percent = Math.floor(run.progress.fraction * 1000) / 10
      const payload = {
        name: run.vmName.padEnd(16),
        percent: `${percent.toFixed(1)} %`.padStart(7),
        state: stateOf(run),
        pace: pace(run),
      }
      const bar = bars.get(run.id)
      if (bar === undefined) bars.set(run.id, multi.create(100, percent, payload))
      else bar.update(percent, payload)
    },
    done() {
      multi.stop()
    },
  }
}

/** Lines for logs and pipes. */
export function plainView(write: (line: string) => void): ProgressView {
  const said = new Map<string, string>()
  return {
    update(run) {
      const key = `${stateOf(run)} ${Math.floor(run.progress.fraction * PLAIN_STEPS)}`
      if (said.get(run.id) === key || run.endedAt !== null) return
      said.set(run.id, key)
      write(progressLine(run))
    },
    done() {},
  }
}

/** One JSON document a line. */
export function jsonView(write: (line: string) => void): ProgressView {
  return {
    update(run: RunInfo) {
      if (run.endedAt === null) write(JSON.stringify({ type: 'progress', run }))
    },
    done() {},
  }
}
