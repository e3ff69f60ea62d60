import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

/** What `varve hci --json` prints first: how to reach the reference platform. */
export interface PlatformInfo {
  readonly url: string
  readonly guestSocket: string
  readonly username: string
  readonly password: string
}

export interface PlatformProcess extends PlatformInfo {
  readonly pid: number
  stop(): Promise<void>
}

/** Start the reference platform as a process of its own, as a real one would be, through the CLI's entry point. */
export async function startPlatform(entry: string, dataDir: string): Promise<PlatformProcess> {
  const child: ChildProcess = spawn(process.execPath, [entry, 'hci', '--data', dataDir, '--port', '0', '--json'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, VARVE_LOG_LEVEL: 'warn' }, // a child inherits the environment as it is
  })
  let complaints = ''
  child.stderr?.on('data', bytes => {
    complaints = (complaints + String(bytes)).slice(-4000)
  })
  const ended = new Promise<number | null>(resolve => child.once('exit', code => resolve(code)))
  const killAtExit = (): void => {
    child.kill('SIGKILL')
  }
  process.once('exit', killAtExit)
  const first = await Promise.race([
    new Promise<string>(resolve => createInterface({ input: child.stdout! }).once('line', resolve)),
    ended.then(code => {
      throw new Error(`the reference platform ended with ${code}: ${complaints}`)
    }),
  ])
  return {
    ...(JSON.parse(first) as PlatformInfo),
    pid: child.pid!,
    async stop() {
      child.kill('SIGTERM')
      await ended
      process.off('exit', killAtExit)
    },
  }
}
