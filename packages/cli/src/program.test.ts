import { CommanderError } from 'commander'
import { expect, test } from 'vitest'
import { CliError } from './errors.ts'
import { buildProgram } from './program.ts'
import { createSession } from './session.ts'

/** Parse in this process; nothing here may get as far as the API. */
async function parse(args: readonly string[]): Promise<{ out: string; error: unknown }> {
  const config = {
    access: () => {
      throw new Error('asked for the API')
    },
    platformPassword: undefined,
    repositoryUrl: undefined,
    s3: { endpoint: undefined, region: undefined, accessKey: undefined, secretKey: undefined },
  }
  const program = buildProgram(createSession(config, new AbortController().signal), '0.0.0')
  let out = ''
  const write = (text: string): void => {
    out += text
  }
  const output = { writeOut: write, writeErr: write }
  const everything = [program]
  for (const command of everything) {
    command.configureOutput(output).exitOverride()
    everything.push(...command.commands)
  }
  try {
    await program.parseAsync(args, { from: 'user' })
    return { out, error: undefined }
  } catch (error) {
    return { out, error }
  }
}

test.each([
  [['backup']],
  [['backup', 'files-1', '--fulll']],
  [['restore']],
  [['restore', 'files-1', '--to', 'moon']],
  [['restore', 'files-1', '--on-damage', 'pray']],
  [['runs', '--limit', '0']],
  [['extract', '--threads', '0']],
  [['extract', '--on-damage', 'pray']],
  [['platform', 'add', 'x']],
  [['repository', 'prices', '--currency', 'euro']],
  [['repository', 'prices', '--per-gib-month', '-1']],
])('%j is a wrong command line', async args => {
  const { out, error } = await parse(args)
  expect(error).toBeInstanceOf(CommanderError)
  expect((error as CommanderError).exitCode).not.toBe(0)
  expect(out).toMatch(/^USAGE: .+/)
})

test.each([
  [['platform', 'add', 'x', '--url', 'http://a']],
  [['platform', 'add', 'x', '--url', 'http://a', '--user', 'u', '--access-key', 'k']],
  [['restore', 'files-1', '--differential']],
  [['restore', 'files-1', '--to', 'original', '--name', 'x']],
  [['repository', 'prices', '--none', '--per-gib-month', '1']],
  [['extract', '-o', 'x']],
  [['extract', '--repository', '/r']],
  [['extract', '--repository', '/r', '--list', '-o', 'x']],
  [['extract', '--repository', '/r', '-o', '-', '--json']],
])('%j contradicts itself', async args => {
  const { error } = await parse(args)
  expect(error).toBeInstanceOf(CliError)
  expect((error as CliError).code).toBe('USAGE')
})

test.each([
  [[]],
  [['backup']],
  [['restore']],
  [['extract']],
  [['runs']],
  [['points']],
  [['check']],
  [['leaks']],
  [['cancel']],
  [['vm', 'list']],
  [['vm', 'show']],
  [['platform', 'add']],
  [['platform', 'list']],
  [['platform', 'remove']],
])('--help of %j shows an example and the exit codes', async command => {
  const { out } = await parse([...command, '--help'])
  expect(out).toMatch(/Examples?:|First steps:/)
  expect(out).toMatch(/Exit codes:[\s\S]*130 /)
})
