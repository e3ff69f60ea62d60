import { type Command, InvalidArgumentError } from 'commander'
import type { LimitsInfo, PlatformInfo } from '../api-types.ts'
import { findPlatform } from '../lookup.ts'
import type { Session } from '../session.ts'
import { formatTable } from '../table.ts'
import { formatBytes } from '../units.ts'
import { JSON_OPTION } from './follow-runs.ts'

type Options = { readonly [Name in keyof LimitsInfo]?: number | 'none' } & { readonly json?: true }

const NAMES = ['runs', 'runsPerHost', 'openDisksPerHost', 'openDisksPerDatastore', 'bytesPerSecond'] as const satisfies (keyof LimitsInfo)[]

export function platformLimitsCommand(platform: Command, session: Session): void {
  platform
    .command('limits')
    .summary('show or change how much of a platform is used')
    .description('Show how much of a platform is used at the same time, over all workers, and change what is given.')
    .argument('<platform>', 'name, id or the beginning of the id')
    .option('--runs <n>', 'runs under way', whole)
    .option('--runs-per-host <n>', 'runs with VMs on one host', whole)
    .option('--open-disks-per-host <n>', 'disks of one host that are read or written', whole)
    .option('--open-disks-per-datastore <n>', 'disks of one datastore that are read or written', whole)
    .option('--bytes-per-second <n>', 'of one connection to a disk; "none" for no limit', wholeOrNone)
    .addOption(JSON_OPTION)
    .addHelpText(
      'after',
      `
Examples:
  varve platform limits cluster-a
  varve platform limits cluster-a --runs 8 --bytes-per-second 50000000
  varve platform limits cluster-a --bytes-per-second none`,
    )
    .action(async (text: string, { json, ...options }: Options) => {
      const found = await findPlatform(session.api(), text)
      const limits = Object.fromEntries(
        NAMES.filter(name => options[name] !== undefined).map(name => [name, options[name] === 'none' ? null : options[name]]),
      )
      const changes = Object.keys(limits).length > 0
      const shown = changes ? await session.api().patch<PlatformInfo>(`/v1/platforms/${found.id}`, { limits }) : found
      if (json) return session.print(JSON.stringify(shown, null, 2))
      session.print(limitsTable(shown))
      const pressed = pressureText(shown)
      if (pressed !== '') session.remark(`${shown.name} has too much to do: ${pressed}`)
    })
}

/** What a platform was given, and what counts of it at the moment. */
function limitsTable({ limits }: PlatformInfo): string {
  return formatTable(
    [
      { title: 'LIMIT', value: ([name]) => name },
      { title: 'VALUE', value: ([, value]) => value, right: true },
    ],
    [
      ['runs', String(limits.runs)],
      ['runs per host', String(limits.runsPerHost)],
      ['open disks per host', String(limits.openDisksPerHost)],
      ['open disks per datastore', String(limits.openDisksPerDatastore)],
      ['bytes per second', rateText(limits)],
    ] as const,
  )
}

function rateText({ bytesPerSecond }: LimitsInfo): string {
  return bytesPerSecond === null ? 'none' : `${formatBytes(bytesPerSecond)}/s`
}

/** `limits / 4 (throttled)`; empty without pressure. */
export function pressureText({ pressure }: PlatformInfo): string {
  return pressure.level === 0 ? '' : `limits / ${2 ** pressure.level} (${pressure.reason})`
}

/** `32 runs, 16 a host, disks 16 a host and 10 a datastore`. */
export function limitsText({ limits }: PlatformInfo): string {
  const rate = limits.bytesPerSecond === null ? '' : `, ${rateText(limits)}`
  return `${limits.runs} runs, ${limits.runsPerHost} a host, disks ${limits.openDisksPerHost} a host and ${limits.openDisksPerDatastore} a datastore${rate}`
}

function whole(text: string): number {
  const n = Number(text)
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(n) || n < 1) throw new InvalidArgumentError('a whole number from 1 on is needed')
  return n
}

/** Not null: an option's parser that answers null is taken for one without a value. */
function wholeOrNone(text: string): number | 'none' {
  return text === 'none' ? 'none' : whole(text)
}
