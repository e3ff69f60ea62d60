import { setTimeout as sleep } from 'node:timers/promises'
import { type Catalog, ENDED_STATES, type Run } from '@varve/catalog-client'
import type { FastifyReply } from 'fastify'
import type { ApiContext, App } from '../api-context.ts'
import { IdParams, refTo } from '../schemas/common.ts'
import { errorAnswers } from '../schemas/error.ts'
import { BackupBody, PreviewQuery, RestoreBody, RunSchema } from '../schemas/run.ts'

/** Between two looks at a preview that somebody waits for, ms. */
const LOOK_MS = 100

const ANSWERS = {
  200: { ...refTo(RunSchema), description: 'Done: `prediction` tells, or `reason` why it failed' },
  202: { ...refTo(RunSchema), description: 'Still under way: follow it like any run' },
}

/** Dry runs: what a backup or a restore would read, store, take and cost. */
export function previewRoutes(app: App, { catalog, watch, showRun }: ApiContext): void {
  const answer = async (run: Run, wait: number, reply: FastifyReply) => {
    watch.nudge()
    const now = await ended(run, wait * 1000, () => reply.raw.destroyed, catalog)
    return reply
      .code(now.endedAt === null ? 202 : 200)
      .header('location', `/v1/runs/${now.id}`)
      .send(showRun(now))
  }

  app.post(
    '/vms/:id/backups/preview',
    {
      preValidation: async request => {
        request.body ??= {}
      },
      schema: {
        tags: ['vms'],
        summary: 'Preview a backup',
        description:
          'What a backup started now would read, disk by disk, with the reason for each full; what it would store, how long it would take, what it would cost. Nothing is copied. ' +
          'A platform tells what changed up to a snapshot only, so one is made and taken away again; it is a run of kind `preview`. Tracking that is off stays off. The body is that of the backup.',
        params: IdParams,
        querystring: PreviewQuery,
        body: BackupBody,
        response: { ...ANSWERS, ...errorAnswers({ 404: 'No such VM.', 409: 'The VM has a run under way.' }) },
      },
    },
    async (request, reply) => answer(await catalog.createBackupPreview(request.params.id, request.body), request.query.wait, reply),
  )

  app.post(
    '/restore-points/:id/restores/preview',
    {
      schema: {
        tags: ['points'],
        summary: 'Preview a restore',
        description:
          'What a restore started now would read from the repository and write. No VM is made or changed; a differential makes a snapshot of the original, which must be off, and takes it away again. The body is that of the restore.',
        params: IdParams,
        querystring: PreviewQuery,
        body: RestoreBody,
        response: { ...ANSWERS, ...errorAnswers({ 404: 'No such restore point.', 409: 'The VM has a run under way.' }) },
      },
    },
    async (request, reply) => answer(await catalog.createRestorePreview(request.params.id, request.body), request.query.wait, reply),
  )
}

/** The run once it has ended, or as it is when the time is over or nobody waits any more. */
async function ended(run: Run, waitMs: number, isGone: () => boolean, catalog: Pick<Catalog, 'getRun'>): Promise<Run> {
  const deadline = performance.now() + waitMs
  let now = run
  while (!ENDED_STATES.includes(now.state) && performance.now() < deadline && !isGone()) {
    await sleep(LOOK_MS)
    now = await catalog.getRun(run.id)
  }
  return now
}
