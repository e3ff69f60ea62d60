import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { CliError } from './errors.ts'

/** Where the API is and how to get in. */
export interface Access {
  readonly apiUrl: string
  readonly token: string
  /** Where the address is known from, for messages. */
  readonly from: string
}

/** The settings of the command: see the README for each. */
export interface CliConfig {
  /** Looked up only when a command needs it. @throws CliError NO_TOKEN, STATE_FILE_INVALID */
  access(): Access
  readonly platformPassword: string | undefined
  /** For `extract` alone: the repository, and how to log in where it is an S3 store. */
  readonly repositoryUrl: string | undefined
  readonly s3: {
    readonly endpoint: string | undefined
    readonly region: string | undefined
    readonly accessKey: string | undefined
    readonly secretKey: string | undefined
  }
}

const DEFAULT_URL = 'http://127.0.0.1:7300'

export function loadCliConfig(env: NodeJS.ProcessEnv, cwd: string): CliConfig {
  return {
    access: () => findAccess(env, cwd),
    platformPassword: env.VARVE_PLATFORM_PASSWORD,
    repositoryUrl: env.VARVE_REPOSITORY_URL || undefined,
    s3: {
      endpoint: env.VARVE_S3_ENDPOINT || undefined,
      region: env.VARVE_S3_REGION || undefined,
      accessKey: env.VARVE_S3_ACCESS_KEY || undefined,
      secretKey: env.VARVE_S3_SECRET_KEY || undefined,
    },
  }
}

/**
 * Settings win; without them the state file that a running standalone writes. Its token goes only to its own address: a token of
 * this machine must not be sent to whatever VARVE_API_URL names.
 */
export function findAccess(env: NodeJS.ProcessEnv, cwd: string): Access {
  const url = env.VARVE_API_URL?.replace(/\/+$/, '') || undefined
  const token = env.VARVE_API_TOKEN || undefined
  if (url !== undefined && !/^https?:\/\/[^/]+/.test(url))
    throw new CliError('USAGE', `VARVE_API_URL is not an http or https address: ${url}`)
  if (token !== undefined) return { apiUrl: url ?? DEFAULT_URL, token, from: url === undefined ? 'the default' : 'VARVE_API_URL' }
  const file = stateFile(env, cwd)
  if (file !== undefined) {
    const state = readState(file)
    if (url === undefined || url === state.apiUrl) return { ...state, from: file }
  }
  const where = url === undefined ? 'no .varve/standalone.json in this folder or above' : `none is known for ${url}`
  throw new CliError('NO_TOKEN', `VARVE_API_TOKEN is not set, and ${where}`)
}

function stateFile(env: NodeJS.ProcessEnv, cwd: string): string | undefined {
  if (env.VARVE_HOME) return existing(join(resolve(cwd, env.VARVE_HOME), 'standalone.json'))
  for (let folder = resolve(cwd); ; folder = dirname(folder)) {
    const found = existing(join(folder, '.varve', 'standalone.json'))
    if (found !== undefined || folder === dirname(folder)) return found
  }
}

function existing(file: string): string | undefined {
  return existsSync(file) ? file : undefined
}

function readState(file: string): { apiUrl: string; token: string } {
  let state: unknown
  try {
    state = JSON.parse(readFileSync(file, 'utf8'))
  } catch (cause) {
    throw new CliError('STATE_FILE_INVALID', `${file} can not be read: ${(cause as Error).message}`, {}, { cause })
  }
  const { apiUrl, token } = (state ?? {}) as { apiUrl?: unknown; token?: unknown }
  if (typeof apiUrl !== 'string' || typeof token !== 'string') throw new CliError('STATE_FILE_INVALID', `${file} lacks apiUrl or token`)
  return { apiUrl, token }
}
