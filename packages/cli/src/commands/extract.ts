import { type Command, InvalidArgumentError, Option } from 'commander'
import { CliError } from '../errors.ts'
import type { Session } from '../session.ts'
import { JSON_OPTION } from './follow-runs.ts'

interface Options {
  readonly repository?: string
  readonly list?: true
  readonly point?: string
  readonly vm?: string
  readonly disk?: string
  readonly output?: string
  readonly force?: true
  readonly onDamage: 'fail' | 'continue'
  readonly threads?: number
  readonly s3Endpoint?: string
  readonly s3Region?: string
  readonly s3AccessKey?: string
  readonly json?: true
}

export function extractCommand(program: Command, session: Session): void {
  program
    .command('extract')
    .summary('bring a disk out of a repository, without anything else')
    .description(
      'Bring a disk out of a repository, or list what is in it. Nothing but the repository is needed: no API, no database, no platform. Every block is checked against its hash.',
    )
    .option('--repository <url>', 'file:///folder, a folder, or s3://bucket/prefix (default: VARVE_REPOSITORY_URL)')
    .option('--list', 'list the restore points of the repository, or those of --vm')
    .option('--point <point>', 'id, its beginning, "latest", or the name of a VM for its newest (default: latest)')
    .option('--vm <vm>', 'name or id: only points of this VM')
    .option('--disk <disk>', 'id of the disk, or its number from 0; may be left out when there is only one')
    .option('-o, --output <file>', 'sparse file to write; - is standard output')
    .option('--force', 'replace FILE when it is there')
    .addOption(
      new Option('--on-damage <what>', 'a block that is damaged in the repository: fail, or leave a hole and continue (exit code 5)')
        .choices(['fail', 'continue'])
        .default('fail'),
    )
    .addOption(new Option('--threads <n>', 'threads (default: one a core, at most 4)').argParser(parseThreads))
    .option('--s3-endpoint <url>', 'of an S3 store (default: VARVE_S3_ENDPOINT, else AWS)')
    .option('--s3-region <region>', 'default: VARVE_S3_REGION, else us-east-1')
    .option('--s3-access-key <key>', 'default: VARVE_S3_ACCESS_KEY; the secret key is only taken from VARVE_S3_SECRET_KEY')
    .addOption(JSON_OPTION)
    .addHelpText(
      'after',
      `
Examples:
  varve extract --repository s3://backups/site-a --list
  varve extract --repository /mnt/backups --vm files-1 --disk 0 -o files-1.img
  varve extract --repository /mnt/backups --point 3fa85f64 --disk virtio1 -o - | ssh host dd of=/dev/vdb bs=1M`,
    )
    .action(async (options: Options) => {
      const url = options.repository ?? session.config.repositoryUrl
      if (url === undefined) throw new CliError('USAGE', '--repository is missing, and VARVE_REPOSITORY_URL is not set')
      if (options.list !== true && options.output === undefined)
        throw new CliError('USAGE', 'say where to with -o FILE, or look with --list')
      if (options.list && options.output !== undefined) throw new CliError('USAGE', '--list writes no file: leave out -o')
      if (options.json && options.output === '-') throw new CliError('USAGE', '--json and -o - would both write to standard output')
      // Here and not above: no other command needs it, and it takes longer to load than all the rest.
      const { extract } = await import('../extract/extract.ts')
      await extract(session, url, options)
    })
}

export type { Options as ExtractOptions }

function parseThreads(text: string): number {
  const threads = Number(text)
  if (!Number.isInteger(threads) || threads < 1 || threads > 64) throw new InvalidArgumentError('a number from 1 to 64.')
  return threads
}
