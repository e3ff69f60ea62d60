import { Command } from 'commander'
import { backupCommand } from './commands/backup.ts'
import { checkCommand } from './commands/check.ts'
import { extractCommand } from './commands/extract.ts'
import { platformCommand } from './commands/platform.ts'
import { pointsCommand } from './commands/points.ts'
import { repositoryCommand } from './commands/repository.ts'
import { restoreCommand } from './commands/restore.ts'
import { runsCommand } from './commands/runs.ts'
import { vmCommand } from './commands/vm.ts'
import { EXIT_CODE_HELP } from './exit-codes.ts'
import { PARTS } from './part.ts'
import type { Session } from './session.ts'

const MORE_HELP = `
Settings:
  VARVE_API_URL            where the API is (default http://127.0.0.1:7300)
  VARVE_API_TOKEN          its token; without it that of a running standalone is taken, from
  VARVE_HOME               its folder (default: .varve in this folder or one above)
  VARVE_PLATFORM_PASSWORD  for: varve platform add
  VARVE_REPOSITORY_URL     for: varve extract; with VARVE_S3_ENDPOINT, _REGION, _ACCESS_KEY, _SECRET_KEY
${EXIT_CODE_HELP}

First steps:
  varve standalone                                     (in another terminal)
  varve platform add cluster-a --url https://scp.example:4430 --user backup
  varve vm list
  varve backup files-1
  varve points files-1
  varve restore files-1`

/** The whole command line; nothing runs before `parseAsync`. */
export function buildProgram(session: Session, version: string): Command {
  const program = new Command('varve')
    .description('Agentless backup for virtual machines: changed blocks into a repository, and back.')
    .version(version)
    .addHelpText('after', MORE_HELP)
    .exitOverride()
    .showSuggestionAfterError()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'USAGE: ')) })

  platformCommand(program, session)
  vmCommand(program, session)
  backupCommand(program, session)
  runsCommand(program, session)
  pointsCommand(program, session)
  restoreCommand(program, session)
  repositoryCommand(program, session)
  extractCommand(program, session)
  checkCommand(program, session)
  // Only for the list of commands: main hands these over before this program sees them.
  for (const [name, { summary }] of Object.entries(PARTS)) program.command(name).description(summary).argument('[args...]')
  for (const command of everyCommand(program)) if (command.commands.length === 0) command.addHelpText('after', EXIT_CODE_HELP)
  return program
}

function everyCommand(command: Command): Command[] {
  return command.commands.flatMap(sub => [sub, ...everyCommand(sub)])
}
