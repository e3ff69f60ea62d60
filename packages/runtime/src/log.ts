import type { Logger } from 'pino'
import { pino, stdTimeFunctions } from 'pino'

export type { Logger }

/** Levels of `VARVE_LOG_LEVEL`. Control path at info, data path at debug. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/**
 * The logger of one process: JSON lines on stderr, so that stdout stays free for results. An event is
 * `log.info({ runId, diskId, ms }, 'range read')`; the words of DESIGN.md are the field names.
 */
export function createLogger(service: string, level: LogLevel = 'info', file?: string): Logger {
  return pino(
    {
      level,
      base: { service, pid: process.pid },
      timestamp: stdTimeFunctions.isoTime,
      redact: {
        // ioredis puts the whole Lua script into err.command; the rest are secrets.
        paths: ['err.command', '*.password', '*.secretKey', '*.token', '*.authorization', 'credentials', 'headers.authorization'],
        remove: true,
      },
    },
    pino.destination({ dest: file ?? 2, sync: true, mkdir: true }),
  )
}
