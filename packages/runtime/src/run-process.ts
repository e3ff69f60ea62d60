import { errorReport } from '@varve/errors'
import { Closer } from './closer.ts'

/**
 * The life of a service process: `open` builds everything in order and registers what must be closed; SIGINT or SIGTERM
 * closes it in reverse and exits 0; a failed start prints one clear line and exits 1; a second signal exits at once.
 */
export async function runProcess(open: (closer: Closer) => Promise<void>): Promise<void> {
  const closer = new Closer()
  let stopping = false
  const stop = (signal: NodeJS.Signals): void => {
    if (stopping) process.exit(130)
    stopping = true
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
    await open(closer)
  } catch (error) {
    const { code, message } = errorReport(error)
    console.error(`${code}: ${message}`)
    await closer.close().catch(() => {})
    process.exit(1)
  }
}
