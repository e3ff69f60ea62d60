import fs from 'node:fs'
import Type from 'typebox'
import { Value } from 'typebox/value'
import { DatastoreError } from './errors.ts'
import { replaceFile } from './file-io.ts'

const BootState = Type.Object({ format: Type.Literal(1), bootId: Type.String(), clean: Type.Boolean() })

/**
 * `datastore.json`: under which boot of the machine the datastore was last open, and whether it was closed in good order.
 * Writes to files survive kill -9 (they are in the machine's page cache), not a power cut. So after an unclean end in
 * another boot, no bitmap can be trusted.
 *
 * @returns why CBT must expire, or undefined.
 */
export async function beginBoot(folder: string, bootId: string): Promise<string | undefined> {
  const path = `${folder}/datastore.json`
  if (fs.existsSync(path)) {
    const before = readState(path)
    // Left as it is until every VM has noted it: killed in between, the next start finds the same.
    if (!before.clean && (bootId === '' || before.bootId !== bootId)) return 'the machine went down while the datastore was open'
  }
  await noteBoot(folder, bootId)
  return undefined
}

/** Every VM is open under this boot. */
export async function noteBoot(folder: string, bootId: string): Promise<void> {
  await writeState(folder, bootId, false)
}

/** Everything is durable. */
export async function endBoot(folder: string, bootId: string): Promise<void> {
  await writeState(folder, bootId, true)
}

function readState(path: string): { bootId: string; clean: boolean } {
  let value: unknown
  try {
    value = JSON.parse(fs.readFileSync(path, 'utf8'))
  } catch (cause) {
    throw new DatastoreError('DATASTORE_DAMAGED', 'datastore.json can not be read', { path }, { cause })
  }
  if (!Value.Check(BootState, value)) throw new DatastoreError('DATASTORE_DAMAGED', 'datastore.json is of another format', { path })
  return value
}

async function writeState(folder: string, bootId: string, clean: boolean): Promise<void> {
  await replaceFile(`${folder}/datastore.json`, `${JSON.stringify({ format: 1, bootId, clean })}\n`, folder)
}
