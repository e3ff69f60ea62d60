/** What the exit code of `varve` means. Scripts rely on it: a code never changes its meaning. */
export const EXIT_CODES = {
  OK: 0,
  /** A run failed or was cancelled, or the command was refused. */
  FAILED: 1,
  /** The command line is wrong, or a name fits several things. */
  USAGE: 2,
  NOT_FOUND: 3,
  /** No or a wrong token, or nothing answers at the address of the API. */
  NO_ACCESS: 4,
  /** A restore or an extraction ended, with holes where blocks were damaged. */
  DAMAGE: 5,
  /** A check found something broken, or something owned by nobody that is still there. */
  FINDINGS: 6,
  /** Ctrl-C; runs that were started go on. */
  INTERRUPTED: 130,
} as const

export type ExitCode = (typeof EXIT_CODES)[keyof typeof EXIT_CODES]

export const EXIT_CODE_HELP = `
Exit codes:
  0    done
  1    a run failed or was cancelled, or the request was refused
  2    the command line is wrong, or a name fits several things
  3    there is no such VM, run, restore point or platform
  4    no access: token missing or wrong, or nothing answers
  5    a restore or an extraction ended with damage: holes where blocks were unreadable
  6    a check found something broken, or something owned by nobody that is still there
  130  interrupted; runs that were started go on`
