import { type ErrorTable, VarveError } from '@varve/errors'

export const STANDALONE_ERRORS = {
  PORT_IN_USE: { retryable: false, help: 'Another program listens on the port: stop it, or give another with --port.' },
  ALREADY_RUNNING: {
    retryable: false,
    help: 'A Varve already runs in this home folder: use it, stop it, or give another folder with --home.',
  },
  SERVICE_ENDED: { retryable: false, help: 'A process of the cluster ended while it started; the last lines of its log say why.' },
  SERVICE_NOT_READY: {
    retryable: true,
    help: 'A process of the cluster still waits for something after a minute; its log says for what.',
  },
  USAGE: { retryable: false, help: 'The command line is wrong; `--help` shows what is possible.' },
} as const satisfies ErrorTable

export class StandaloneError extends VarveError<keyof typeof STANDALONE_ERRORS> {
  override readonly name = 'StandaloneError'
  protected override readonly table = STANDALONE_ERRORS
}
