import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { CliError } from './errors.ts'

/** A secret from standard input, or typed by a person without being shown. @throws CliError USAGE */
export async function readSecret(label: string, fromStdin: boolean): Promise<string> {
  if (fromStdin) return nonEmpty(label, await firstLine())
  if (process.stdin.isTTY !== true)
    throw new CliError('USAGE', `${label} is missing and there is no terminal to ask at; use --secret-stdin`)
  process.stderr.write(`${label}: `)
  // readline echoes what is typed to its output: give it one that keeps silent.
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({ input: process.stdin, output: silent, terminal: true })
  try {
    return nonEmpty(label, await lines.question(''))
  } finally {
    lines.close()
    process.stderr.write('\n')
  }
}

async function firstLine(): Promise<string> {
  let text = ''
  for await (const chunk of process.stdin.setEncoding('utf8')) {
    text += chunk
    if (text.includes('\n') || text.length > 4096) break
  }
  return text.split(/\r?\n/, 1)[0] ?? ''
}

function nonEmpty(label: string, text: string): string {
  if (text === '') throw new CliError('USAGE', `${label} is empty`)
  return text
}
