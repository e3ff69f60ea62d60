import { type Command, InvalidArgumentError } from 'commander'
import type { PointInfo } from '../api-types.ts'
import { findVm } from '../lookup.ts'
import type { Session } from '../session.ts'
import { formatTable } from '../table.ts'
import { formatBytes } from '../units.ts'
import { age, shortId } from '../words.ts'
import { JSON_OPTION } from './follow-runs.ts'

export function pointsCommand(program: Command, session: Session): void {
  program
    .command('points')
    .summary('list restore points')
    .description('List restore points, newest first: all, or those of one VM.')
    .argument('[vm]', 'name, id or the beginning of the id')
    .option('--limit <n>', 'at most that many', limit, 1000)
    .addOption(JSON_OPTION)
    .addHelpText('after', '\nExample:\n  varve points files-1\n  varve restore <POINT of that list>')
    .action(async (text: string | undefined, options: { limit: number; json?: true }) => {
      const api = session.api()
      const path = text === undefined ? '/v1/points' : `/v1/vms/${(await findVm(api, text)).id}/points`
      const points = await api.list<PointInfo>(`${path}?limit=${Math.min(options.limit, 1000)}`, options.limit)
      if (options.json) return session.print(JSON.stringify(points, null, 2))
      if (points.length === 0) return session.remark('No restore points. Make one with: varve backup VM')
      const now = Date.now()
      session.print(
        formatTable<PointInfo>(
          [
            { title: 'POINT', value: point => shortId(point.id) },
            { title: 'VM', value: point => point.vmName },
            { title: 'MADE', value: point => age(point.createdAt, now), right: true },
            { title: 'AT', value: point => point.createdAt.replace('T', ' ').replace(/\.\d+Z$/, 'Z') },
            { title: 'KIND', value: kindOf },
            { title: 'READ', value: point => formatBytes(point.images.reduce((sum, { read }) => sum + read, 0)), right: true },
            { title: 'STORED', value: point => formatBytes(point.stored), right: true },
            { title: 'DISKS', value: point => point.images.map(({ diskId }) => diskId).join(' ') },
          ],
          points,
        ),
      )
    })
}

function limit(text: string): number {
  const n = Number(text)
  if (!Number.isInteger(n) || n < 1 || n > 1_000_000) throw new InvalidArgumentError('a whole number from 1 to 1000000 is needed')
  return n
}

/** `full (first)`, `incremental`, or disk by disk where they differ. */
function kindOf({ images }: PointInfo): string {
  const kinds = images.map(({ kind, reason }) => (reason === null ? kind : `${kind} (${reason})`))
  if (new Set(kinds).size === 1) return kinds[0] ?? ''
  return images.map(({ diskId }, at) => `${diskId}: ${kinds[at]}`).join(', ')
}
