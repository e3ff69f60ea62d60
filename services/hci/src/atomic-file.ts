import { open, rename } from 'node:fs/promises'

/** Replace `path` by `text` so that after a crash either the old or the new content is there, whole. Only the owner may read it. */
export async function writeFileAtomically(path: string, text: string): Promise<void> {
  const temporary = `${path}.new`
  const file = await open(temporary, 'w', 0o600)
  try {
    await file.writeFile(text)
    await file.datasync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
}
