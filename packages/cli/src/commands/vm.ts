import type { Command } from 'commander'
import type { VmInfo } from '../api-types.ts'
import { explain } from '../errors.ts'
import { findVm, readVmsAgain } from '../lookup.ts'
import type { Session } from '../session.ts'
import { formatTable } from '../table.ts'
import { formatBytes } from '../units.ts'
import { age, shortId } from '../words.ts'
import { JSON_OPTION } from './follow-runs.ts'

export function vmCommand(program: Command, session: Session): void {
  const vm = program.command('vm').summary('list and show VMs').description('VMs of all platforms.')

  vm.command('list')
    .description('List VMs with their newest restore point.')
    .option('--sync', 'read the lists from the platforms first, instead of only when they are old')
    .addOption(JSON_OPTION)
    .addHelpText('after', "\nExample:\n  varve vm list --json | jq -r '.[] | select(.lastPoint == null) | .name'    VMs without any backup")
    .action(async (options: { sync?: true; json?: true }) => {
      for (const { platform, error } of options.sync ? await readVmsAgain(session.api()) : []) {
        const { code, message } = explain(error)
        session.remark(`${platform} could not be read: ${code}: ${message}`)
      }
      const items = await session.api().list<VmInfo>('/v1/vms')
      if (options.json) return session.print(JSON.stringify(items, null, 2))
      if (items.length === 0) return session.remark('No VMs. See: varve platform list')
      const now = Date.now()
      session.print(
        formatTable<VmInfo>(
          [
            { title: 'VM', value: ({ name }) => name },
            { title: 'ID', value: ({ id }) => shortId(id) },
            { title: 'POWER', value: ({ power }) => power },
            { title: 'DISKS', value: ({ disks }) => String(disks.length), right: true },
            { title: 'SIZE', value: sizeOf, right: true },
            { title: 'POINTS', value: ({ points }) => String(points), right: true },
            { title: 'LAST POINT', value: ({ lastPoint }) => age(lastPoint?.createdAt ?? null, now), right: true },
            { title: 'REMARK', value: remarkOf },
          ],
          items,
        ),
      )
    })

  vm.command('show')
    .description('Show one VM and its disks.')
    .argument('<vm>', 'name, id or the beginning of the id')
    .addOption(JSON_OPTION)
    .addHelpText('after', '\nExample:\n  varve vm show files-1')
    .action(async (text: string, options: { json?: true }) => {
      const one = await findVm(session.api(), text)
      if (options.json) return session.print(JSON.stringify(one, null, 2))
      session.print(`${one.name}  ${one.id}`)
      session.print(`  ${one.platformVmId} on the platform, power ${one.power}, ${one.points} restore points`)
      if (one.lastPoint !== null) session.print(`  newest point ${shortId(one.lastPoint.id)}, ${age(one.lastPoint.createdAt, Date.now())}`)
      if (one.exclusions.length > 0) session.print(`  can not be backed up: ${one.exclusions.join(', ')}`)
      for (const { diskId, size, excluded } of one.disks) {
        session.print(`  ${diskId}: ${formatBytes(size)}${excluded === undefined ? '' : `, left out: ${excluded}`}`)
      }
    })
}

function sizeOf({ disks }: VmInfo): string {
  return formatBytes(disks.reduce((sum, { size }) => sum + size, 0))
}

function remarkOf({ exclusions, disks }: VmInfo): string {
  if (exclusions.length > 0) return `excluded: ${exclusions.join(', ')}`
  const left = disks.filter(({ excluded }) => excluded !== undefined).map(({ diskId, excluded }) => `${diskId} (${excluded})`)
  return left.length > 0 ? `left out: ${left.join(', ')}` : ''
}
