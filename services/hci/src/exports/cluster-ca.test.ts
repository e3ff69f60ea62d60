import { X509Certificate } from 'node:crypto'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openClusterTls } from './cluster-ca.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'varve-ca-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

test('an authority for ten years and a server certificate by it, kept, for their owner only', async () => {
  const first = await openClusterTls(folder, '10.1.2.3')
  const ca = new X509Certificate(Buffer.from(first.caCert, 'base64'))
  const server = new X509Certificate(first.cert)
  expect(ca.ca).toBe(true)
  expect(ca.verify(ca.publicKey)).toBe(true)
  expect(new Date(ca.validTo).getFullYear() - new Date(ca.validFrom).getFullYear()).toBe(10)
  expect(server.ca).toBe(false)
  expect(server.checkIssued(ca) && server.verify(ca.publicKey)).toBe(true)
  expect(server.checkIP('10.1.2.3')).toBe('10.1.2.3')
  expect(server.checkHost('elsewhere')).toBe(undefined)
  for (const name of ['cluster-ca.pem', 'nbd-server.pem']) expect((await stat(join(folder, name))).mode & 0o777).toBe(0o600)
  expect(await openClusterTls(folder, '10.1.2.3')).toEqual(first)
})

test('another host gets another certificate by the same authority', async () => {
  const first = await openClusterTls(folder, '10.1.2.3')
  const second = await openClusterTls(folder, 'hci.example')
  expect(second.caCert).toBe(first.caCert)
  expect(new X509Certificate(second.cert).checkHost('hci.example')).toBe('hci.example')
})

test('a new authority takes the server certificate with it; a damaged file is not passed over', async () => {
  const first = await openClusterTls(folder, 'localhost')
  await rm(join(folder, 'cluster-ca.pem'))
  const second = await openClusterTls(folder, 'localhost')
  expect(second.caCert).not.toBe(first.caCert)
  expect(second.cert).not.toBe(first.cert)
  const path = join(folder, 'cluster-ca.pem')
  await writeFile(path, (await readFile(path, 'utf8')).slice(0, 300))
  await expect(openClusterTls(folder, 'localhost')).rejects.toThrow()
})
