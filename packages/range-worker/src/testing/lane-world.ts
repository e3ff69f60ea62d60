import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type NbdBackend, NbdError, type NbdServer, startNbdServer } from '@varve/nbd'
import type { DiskAddress } from '@varve/platform'
import { openRepository, openStore, type Repository } from '@varve/repository'
import { Closer } from '@varve/runtime'

/** What lanes work between: an NBD server on 127.0.0.1 and an empty repository in a new folder. */
export interface LaneWorld {
  readonly folder: string
  readonly repositoryUrl: string
  readonly repository: Repository
  readonly server: NbdServer
  address(exportName: string): DiskAddress
  close(): Promise<void>
}

/** `disks`: a disk by its export name, opened for each connection; any other name is NBD_EXPORT_UNKNOWN. */
export async function startLaneWorld(disks: Readonly<Record<string, () => NbdBackend>>, blockSize = 64 * 1024): Promise<LaneWorld> {
  const closer = new Closer()
  const folder = await mkdtemp(join(tmpdir(), 'varve-lanes-'))
  closer.add('folder', () => rm(folder, { recursive: true }))
  const repositoryUrl = pathToFileURL(folder).href
  const store = await openStore(repositoryUrl)
  closer.add('store', () => store.close())
  const repository = await openRepository(store, { create: true, blockSize })
  const open = async (name: string): Promise<NbdBackend> => {
    const disk = disks[name]
    if (disk === undefined) throw new NbdError('NBD_EXPORT_UNKNOWN', 'no such export')
    return disk()
  }
  const server = await startNbdServer({ listen: { host: '127.0.0.1', port: 0 }, exports: { open } })
  closer.add('server', () => server.close())
  const { host, port } = server.address as { host: string; port: number }
  return { folder, repositoryUrl, repository, server, address: exportName => ({ host, port, exportName }), close: () => closer.close() }
}
