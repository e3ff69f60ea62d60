import { parseArgs } from 'node:util'
import { laneOptionsOf, storeSettingsOf } from '@varve/range-worker'
import { createLogger, runProcess, showConfig } from '@varve/runtime'
import { loadStandaloneConfig } from './config.ts'
import { startStandalone } from './standalone.ts'

const USAGE = `varve standalone [--home DIR] [--port N] [--repository URL] [--json] [--show-config]

All of Varve on this machine: embedded PostgreSQL for catalog and queue, a directory as repository. Needs no other server.

  --home DIR         database, repository and token live here (default .varve; VARVE_HOME)
  --port N           API and dashboard on 127.0.0.1:N (default 7300; VARVE_API_PORT)
  --repository URL   file:///folder or s3://bucket/prefix (with VARVE_S3_* settings) instead of <home>/repository
  --json             print one JSON line { apiUrl, token, home, pid } when ready
  --show-config      print the effective settings and end

Stop it with Ctrl-C or SIGTERM. After a crash just start it again: unfinished runs go on.
Example:  npx varve standalone --home /srv/varve --port 7300`

/** The `standalone` command; returns when the process is to go on serving (it ends by signal), or the exit code. */
export async function runStandalone(argv: readonly string[]): Promise<number | undefined> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      home: { type: 'string' },
      port: { type: 'string' },
      repository: { type: 'string' },
      json: { type: 'boolean', default: false },
      'show-config': { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  const config = loadStandaloneConfig({
    ...process.env,
    ...(values.home === undefined ? {} : { VARVE_HOME: values.home }),
    ...(values.port === undefined ? {} : { VARVE_API_PORT: values.port }),
    ...(values.repository === undefined ? {} : { VARVE_REPOSITORY_URL: values.repository }),
  })
  if (values['show-config']) {
    console.log(showConfig(config))
    return 0
  }
  await runProcess(async closer => {
    const log = createLogger('standalone', config.VARVE_LOG_LEVEL)
    const varve = await startStandalone({
      home: config.VARVE_HOME,
      port: config.VARVE_API_PORT,
      log,
      ...(config.VARVE_DATABASE_URL === '' ? {} : { databaseUrl: config.VARVE_DATABASE_URL }),
      ...(config.VARVE_QUEUE_URL === '' ? {} : { queueUrl: config.VARVE_QUEUE_URL }),
      ...(config.VARVE_REPOSITORY_URL === '' ? {} : { repositoryUrl: config.VARVE_REPOSITORY_URL }),
      ...laneOptionsOf(config),
      storeSettings: storeSettingsOf(config),
      maintenance: { everySeconds: config.VARVE_LEAKS_EVERY_SECONDS, wholeEverySeconds: config.VARVE_CHECK_EVERY_SECONDS },
    })
    closer.add('varve', () => varve.close())
    if (values.json) console.log(JSON.stringify({ apiUrl: varve.apiUrl, token: varve.token, home: varve.home, pid: process.pid }))
    else {
      console.log(`Varve runs: ${varve.apiUrl}   (dashboard: ${varve.apiUrl}/#token=${varve.token})`)
      console.log(`home ${varve.home}, repository ${varve.repositoryUrl}. Stop with Ctrl-C.`)
    }
  })
  return undefined
}
