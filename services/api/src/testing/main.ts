import { createLogger, runProcess } from '@varve/runtime'
import { startScriptedApi } from './start-scripted-api.ts'

/*
 * The scripted api as a process of its own: prints one line of JSON, `{ apiUrl, token }`, and serves until it is stopped.
 *   node dist/testing/main.js [port] [milliseconds per step] [steps per run]
 */
await runProcess(async closer => {
  const [port = 0, tickMs = 40, ticks = 8] = process.argv.slice(2).map(Number)
  const log = createLogger('scripted-api', 'error')
  const api = await startScriptedApi({ log, port, tickMs, ticks })
  closer.add('api', () => api.close())
  console.log(JSON.stringify({ apiUrl: api.url, token: api.token }))
})
