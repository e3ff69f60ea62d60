import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { DiskAddress } from '@varve/platform'

/** The address of a leased disk as libnbd's tools take it; over TLS they trust the lease's authority, written into the folder. */
export async function nbdUri({ host, port, exportName, tls }: DiskAddress, folder: string): Promise<string> {
  if (tls === undefined) return `nbd://${host}:${port}/${exportName}`
  await writeFile(join(folder, 'ca-cert.pem'), tls.ca)
  return `nbds://${host}:${port}/${exportName}?tls-certificates=${folder}`
}
