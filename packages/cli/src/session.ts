import { ApiClient } from './api-client.ts'
import type { CliConfig } from './config.ts'
import { EXIT_CODES, type ExitCode } from './exit-codes.ts'

/** What a command works with. */
export interface Session {
  readonly config: CliConfig
  /** Opened at the first use, so that `--help` needs no server. @throws CliError NO_TOKEN */
  api(): ApiClient
  /** Results; stdout. */
  print(line: string): void
  /** Progress and remarks; stderr. */
  remark(line: string): void
  /** Aborts at Ctrl-C or SIGTERM. */
  readonly signal: AbortSignal
  exitCode: ExitCode
}

export function createSession(config: CliConfig, signal: AbortSignal): Session {
  let api: ApiClient | undefined
  return {
    config,
    api() {
      api ??= new ApiClient(config.access())
      return api
    },
    print: line => process.stdout.write(`${line}\n`),
    remark: line => process.stderr.write(`${line}\n`),
    signal,
    exitCode: EXIT_CODES.OK,
  }
}
