import type { App } from '../http/app.ts'
import type { Tasks } from './tasks.ts'

export function addTaskRoutes(app: App, tasks: Tasks): void {
  app.get<{ Params: { id: string } }>('/janus/20180725/tasks/:id', async request => tasks.get(request.params.id))
}
