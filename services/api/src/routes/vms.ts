import type { ApiContext, App } from '../api-context.ts'
import { pointAnswer, vmAnswer } from '../public-answers.ts'
import { IdempotencyHeaders, IdParams, pageAnswer, pageOf, refTo } from '../schemas/common.ts'
import { errorAnswers } from '../schemas/error.ts'
import { PointSchema, PointsOfVmQuery } from '../schemas/point.ts'
import { BackupBody, RunSchema } from '../schemas/run.ts'
import { VmSchema, VmsQuery } from '../schemas/vm.ts'

export function vmRoutes(app: App, { catalog, inventory, watch, showRun }: ApiContext): void {
  app.get(
    '/vms',
    {
      schema: {
        tags: ['vms'],
        summary: 'List VMs of all platforms, by name',
        description: 'A list that is old is read again from the platform; one that is slow to answer shows at the next look.',
        querystring: VmsQuery,
        response: { 200: pageOf(VmSchema), ...errorAnswers() },
      },
    },
    async request => {
      const page = request.query
      // Reading the platforms in the middle of a list would only make it older.
      if (page.after === undefined) await inventory.refresh()
      return pageAnswer(await catalog.listVms(page), page.limit, vmAnswer)
    },
  )

  app.get(
    '/vms/:id',
    {
      schema: {
        tags: ['vms'],
        summary: 'One VM',
        params: IdParams,
        response: { 200: refTo(VmSchema), ...errorAnswers({ 404: 'No such VM.' }) },
      },
    },
    async request => vmAnswer(await catalog.getVm(request.params.id)),
  )

  app.get(
    '/vms/:id/points',
    {
      schema: {
        tags: ['vms'],
        summary: 'Restore points of a VM, newest first',
        params: IdParams,
        querystring: PointsOfVmQuery,
        response: { 200: pageOf(PointSchema), ...errorAnswers({ 404: 'No such VM.' }) },
      },
    },
    async request => {
      // An unknown VM is told as such, instead of as one without points.
      await catalog.getVm(request.params.id)
      return pageAnswer(await catalog.listPoints(request.params.id, request.query), request.query.limit, pointAnswer)
    },
  )

  app.post(
    '/vms/:id/backups',
    {
      // A backup as it comes needs no options, and so no body.
      preValidation: async request => {
        request.body ??= {}
      },
      schema: {
        tags: ['vms'],
        summary: 'Back a VM up',
        description:
          'Answers as soon as the run is recorded. Follow it at `/v1/runs/{id}/events`, or ask `/v1/runs/{id}` until `endedAt` is set. ' +
          'Incremental where changed block tracking allows it, per disk; the reason for each full is in the run.',
        params: IdParams,
        headers: IdempotencyHeaders,
        body: BackupBody,
        response: {
          202: { ...refTo(RunSchema), description: 'Recorded' },
          ...errorAnswers({ 404: 'No such VM.', 409: 'The VM has a run under way, or the key was used for another request.' }),
        },
      },
    },
    async (request, reply) => {
      const run = await catalog.createBackup(request.params.id, request.body, request.headers['idempotency-key'])
      watch.nudge()
      return reply.code(202).header('location', `/v1/runs/${run.id}`).send(showRun(run))
    },
  )
}
