import { randomUUID } from 'node:crypto'
import { realpath } from 'node:fs/promises'
import { resolve, sep } from 'node:path'
import Type from 'typebox'
import { HciError } from '../errors.ts'
import type { App } from '../http/app.ts'
import { type Platform, startVmTask } from '../platform.ts'
import { importImage } from './import-image.ts'

const Format = Type.Optional(Type.Enum(['raw', 'qcow2', 'auto']))
const Import = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 80, pattern: '^[^/\\u0000-\\u001f]+$' }),
  path: Type.Optional(Type.String()),
  format: Format,
  images: Type.Optional(
    Type.Array(
      Type.Object({
        path: Type.String(),
        format: Format,
        disk_id: Type.Optional(Type.String({ pattern: '^(ide|virtio|scsi|sata)\\d{1,2}$' })),
      }),
      { minItems: 1, maxItems: 64 },
    ),
  ),
})

/** `POST /varve/v1/import` (ours): a VM from image files in the import folder. Paths are relative to it. Absent when no folder is set. */
export function addImportRoutes(app: App, platform: Platform): void {
  const folder = platform.settings.importFolder
  if (folder === undefined) return
  app.post('/varve/v1/import', { schema: { body: Import } }, async (request, reply) => {
    const { name, path, format, images } = request.body
    const wanted = images ?? (path === undefined ? [] : [{ path, ...(format === undefined ? {} : { format }) }])
    const files = await Promise.all(
      wanted.map(async image => ({
        file: await insideFolder(folder, image.path),
        format: image.format ?? ('auto' as const),
        ...('disk_id' in image && image.disk_id !== undefined ? { diskId: image.disk_id } : {}),
      })),
    )
    if (files.length === 0) throw new HciError('REQUEST_INVALID', 'path or images must name an image file')
    platform.names.require(name)
    const uuid = randomUUID()
    const task = await startVmTask(
      platform,
      { id: uuid, name },
      { action: 'image_import', description: `import ${name}`, user: request.user },
      async handle => {
        await importImage(platform.datastore, platform.names, platform.settings.dataDir, {
          name,
          images: files,
          vmId: uuid,
          signal: handle.signal,
          onProgress: (done, total) => handle.progress(done / total),
        })
      },
    )
    reply.status(201)
    return { task_id: task.id, uuid }
  })
}

/** Links are followed before the check, so that none leads out. */
async function insideFolder(folder: string, path: string): Promise<string> {
  const root = await realpath(folder)
  const file = await realpath(resolve(root, path)).catch(() => undefined)
  if (file === undefined || !file.startsWith(root + sep)) throw new HciError('IMPORT_FAILED', `no file ${path} in the import folder`)
  return file
}
