import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectNbd } from '@varve/nbd'
import { openPlatform, type PlatformDriver } from '@varve/platform'
import { KiB, MiB } from '@varve/runtime'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type LocalHci, startLocalHci } from '../support/hci.ts'
import { nbdUri } from '../support/nbd-uri.ts'
import { noise } from '../support/pattern.ts'
import { missingTool, runTool } from '../support/tools.ts'

/** A lease of the reference platform, and its data over TLS with the programs that others wrote. */

const SIZE = 8 * MiB
let folder: string
let local: LocalHci
let driver: PlatformDriver
let content: Buffer

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'varve-tls-'))
  local = await startLocalHci()
  driver = openPlatform({ id: 'hci', kind: 'scp', url: local.hci.url, credentials: local.account, transport: 'nbd_ssl' })
})
afterEach(async () => {
  await driver.close()
  await local.close()
  await rm(folder, { recursive: true, force: true })
})

/** A snapshot under a lease: its address as the driver gives it, and as a `nbds://` URI that trusts the lease's authority. */
async function leasedSnapshot() {
  const vmId = await local.createVm('web', [{ id: 'virtio0', size: SIZE }])
  content = Buffer.alloc(SIZE)
  content.set(noise('tls', 3 * MiB), MiB + 64 * KiB)
  const disk = await local.hci.datastore.openDisk(vmId, 'virtio0')
  await disk.write(MiB + 64 * KiB, content.subarray(MiB + 64 * KiB, 4 * MiB + 64 * KiB), false)
  await disk.close()
  const snapshot = await driver.createSnapshot(vmId, 's')
  const lease = await driver.createLease(vmId, 'backup', 120)
  const address = await driver.diskAddress(lease.id, 'virtio0', snapshot.id)
  const uri = await nbdUri({ ...address, host: 'localhost' }, folder)
  return { address, uri, lease }
}

test('nbdinfo and nbdcopy with nbds:// and the ca_cert of the lease', async ctx => {
  const missing = missingTool('nbdinfo', 'nbdcopy')
  if (missing !== undefined) ctx.skip(missing)
  const { address, uri, lease } = await leasedSnapshot()
  const { exports } = JSON.parse(await runTool('nbdinfo', ['--json', uri])) as { exports: Record<string, unknown>[] }
  expect(exports[0]).toMatchObject({ 'export-size': SIZE, is_read_only: true, contexts: ['base:allocation'] })
  const copy = join(folder, 'copy.img')
  await runTool('nbdcopy', [uri, copy])
  expect(Buffer.compare(await readFile(copy), content)).toBe(0)
  await expect(runTool('nbdinfo', [uri.replace('nbds:', 'nbd:')])).rejects.toThrow(/not supported/)
  await driver.releaseLease(lease.id)
  await expect(runTool('nbdinfo', [`nbds://localhost:${address.port}/${address.exportName}?tls-certificates=${folder}`])).rejects.toThrow(
    /No such file/,
  )
})

test('qemu-img with tls-creds and the ca_cert of the lease', async ctx => {
  const missing = missingTool('qemu-img')
  if (missing !== undefined) ctx.skip(missing)
  const { address } = await leasedSnapshot()
  const copy = join(folder, 'copy.img')
  const creds = `tls-creds-x509,id=tls0,endpoint=client,dir=${folder}`
  const source = `driver=nbd,host=127.0.0.1,port=${address.port},export=${address.exportName},tls-creds=tls0`
  await runTool('qemu-img', ['convert', '--object', creds, '--image-opts', source, '-O', 'raw', copy])
  expect(Buffer.compare(await readFile(copy), content)).toBe(0)
})

test('the driver’s address is what connectNbd takes; another platform’s authority is not believed', async () => {
  const { address } = await leasedSnapshot()
  const client = await connectNbd(address)
  const bytes = Buffer.alloc(SIZE)
  await client.readInto(0, bytes)
  await client.close()
  expect(Buffer.compare(bytes, content)).toBe(0)
  const other = await startLocalHci()
  const stranger = openPlatform({ id: 'other', kind: 'scp', url: other.hci.url, credentials: other.account })
  try {
    const vmId = await other.createVm('web', [{ id: 'virtio0', size: MiB }])
    const { id } = await stranger.createLease(vmId, 'restore', 60)
    const { tls } = await stranger.diskAddress(id, 'virtio0')
    await expect(connectNbd({ ...address, tls: tls! })).rejects.toMatchObject({ code: 'NBD_TLS_UNTRUSTED' })
  } finally {
    await stranger.close()
    await other.close()
  }
})
