import { type Command, Option } from 'commander'
import type { Items, PlatformInfo } from '../api-types.ts'
import { CliError } from '../errors.ts'
import { findPlatform } from '../lookup.ts'
import { readSecret } from '../secret-input.ts'
import type { Session } from '../session.ts'
import { formatTable } from '../table.ts'
import { age, shortId } from '../words.ts'
import { JSON_OPTION } from './follow-runs.ts'
import { limitsText, platformLimitsCommand, pressureText } from './platform-limits.ts'

interface AddOptions {
  readonly url: string
  readonly user?: string
  readonly password?: string
  readonly accessKey?: string
  readonly secretKey?: string
  readonly secretStdin?: true
  readonly transport?: 'nbd' | 'nbd_ssl'
  readonly json?: true
}

export function platformCommand(program: Command, session: Session): void {
  const platform = program.command('platform').summary('add, list and remove platforms').description('Where VMs run.')

  platform
    .command('add')
    .description('Add a platform. Logs in first; only a connection that works is stored.')
    .argument('<name>', 'a name of your choice')
    .requiredOption('--url <url>', 'address, e.g. https://scp.example:4430')
    .option('--user <name>', 'user name')
    .option('--password <text>', 'password; better: VARVE_PLATFORM_PASSWORD, --secret-stdin, or type it when asked')
    .option('--access-key <id>', 'access key, instead of user name and password')
    .option('--secret-key <text>', 'secret key; better: --secret-stdin, or type it when asked')
    .option('--secret-stdin', 'read the password or secret key from standard input')
    .addOption(
      new Option('--transport <mode>', 'disk data over TLS (nbd_ssl) or in plain text (nbd); default: TLS where offered').choices([
        'nbd',
        'nbd_ssl',
      ]),
    )
    .addOption(JSON_OPTION)
    .addHelpText(
      'after',
      `
Examples:
  varve platform add cluster-a --url https://scp.example:4430 --user backup
  pass scp/backup | varve platform add cluster-a --url https://scp.example:4430 --user backup --secret-stdin`,
    )
    .action(async (name: string, options: AddOptions) => {
      const credentials = await credentialsOf(session, options)
      const added = await session.api().post<PlatformInfo>('/v1/platforms', {
        name,
        kind: 'scp',
        url: options.url,
        transport: options.transport,
        credentials,
      })
      if (options.json) return session.print(JSON.stringify(added, null, 2))
      session.print(`${added.name} added (${shortId(added.id)})`)
      if (added.inventory.code !== null)
        session.remark(`Its list of VMs could not be read: ${added.inventory.code}: ${added.inventory.message}`)
      else session.remark('See its VMs: varve vm list')
    })

  platform
    .command('list')
    .description('List platforms.')
    .addOption(JSON_OPTION)
    .addHelpText('after', '\nExample:\n  varve platform list')
    .action(async (options: { json?: true }) => {
      const { items } = await session.api().get<Items<PlatformInfo>>('/v1/platforms')
      if (options.json) return session.print(JSON.stringify(items, null, 2))
      if (items.length === 0) return session.remark('No platforms. Add one with: varve platform add NAME --url URL --user USER')
      const now = Date.now()
      session.print(
        formatTable<PlatformInfo>(
          [
            { title: 'PLATFORM', value: ({ name }) => name },
            { title: 'ID', value: ({ id }) => shortId(id) },
            { title: 'URL', value: ({ url }) => url },
            { title: 'VMS READ', value: ({ inventory }) => age(inventory.readAt, now), right: true },
            { title: 'LIMITS', value: limitsText },
            { title: 'PRESSURE', value: shown => pressureText(shown) || '-' },
            { title: 'REMARK', value: ({ inventory }) => (inventory.code === null ? '' : `${inventory.code}: ${inventory.message}`) },
          ],
          items,
        ),
      )
    })

  platformLimitsCommand(platform, session)

  platform
    .command('remove')
    .description('Remove a platform. The restore points of its VMs stay.')
    .argument('<platform>', 'name, id or the beginning of the id')
    .addOption(JSON_OPTION)
    .addHelpText('after', '\nExample:\n  varve platform remove cluster-a')
    .action(async (text: string, options: { json?: true }) => {
      const { id, name } = await findPlatform(session.api(), text)
      await session.api().delete(`/v1/platforms/${id}`)
      session.print(options.json ? JSON.stringify({ id, name, removed: true }) : `${name} removed`)
    })
}

/** @throws CliError USAGE */
async function credentialsOf(session: Session, options: AddOptions): Promise<Record<string, string>> {
  const { user, accessKey } = options
  if ((user === undefined) === (accessKey === undefined)) throw new CliError('USAGE', 'give either --user or --access-key')
  const given = user === undefined ? options.secretKey : (options.password ?? session.config.platformPassword)
  const secret =
    options.secretStdin || given === undefined
      ? await readSecret(user === undefined ? 'Secret key' : 'Password', options.secretStdin === true)
      : given
  return user === undefined ? { accessKey: accessKey as string, secretKey: secret } : { username: user, password: secret }
}
