import { errorReport } from '@varve/errors'
import { Closer } from './closer.ts'

/**
 * A second signal this soon after the first is the same wish: `npx` and `npm run` pass on what the terminal has sent to everybody already.
 */
const SAME_WISH_MS = 1000

/**
 * The life of a service process: `open` builds everything in order and registers what must be closed; SIGINT or SIGTERM
 * closes it in reverse and exits 0; a failed start prints one clear line and exits 1; a second signal, a second or more later, exits at
 * once. With `stopWithin(seconds)` a close that hangs ends with 1 after that time: what it had is taken up by others.
 */
export async function runProcess(open: (closer: Closer, stopWithin: (seconds: number) => void) => Promise<void>): Promise<void> {
  const closer = new Closer()
  let stopSeconds: number | undefined
  let stoppingSince: number | undefined
  const stop = (signal: NodeJS.Signals): void => {
    if (stoppingSince !== undefined) {
      if (performance.now() - stoppingSince >= SAME_WISH_MS) process.exit(130)
      return
    }
    stoppingSince = performance.now()
    if (stopSeconds !== undefined) {
      setTimeout(() => {
        console.error(`stopping on ${signal} took longer than ${stopSeconds} s; what was under way is left to others`)
        process.exit(1)
      }, stopSeconds * 1000)
    }
    closer.close().then(
      () => process.exit(0),
      error => {
        console.error(`stopping on ${signal} failed: ${errorReport(error).message}`)
        process.exit(1)
      },
    )
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  try {
    await open(closer, seconds => {
      stopSeconds = seconds
    })
  } catch (error) {
    const { code, message } = errorReport(error)
    console.error(`${code}: ${message}`)
    await closer.close().catch(() => {})
    process.exit(1)
  }
}
