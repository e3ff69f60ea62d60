import { connectNbd } from '@varve/nbd'
import { afterEach, expect, test } from 'vitest'
import { TestHci } from '../testing/test-hci.ts'

const RESOURCES = '/janus/20180725/backup-resources'
let hci: TestHci
afterEach(() => hci.close())

async function leased(tls: 'off' | 'both' | 'required') {
  hci = await TestHci.start({ backupNbd: { tls } })
  const vm = await hci.createVm('tls')
  const snapshot = await hci.snapshot(vm, 's')
  const { data } = await hci.call('GET', `${RESOURCES}/${await hci.lease(vm, 'backup')}`)
  const { transport_modes } = (await hci.call('GET', `${RESOURCES}/supports?server_id=${vm}`)).data
  const { host, port, tls_port, secret, transport } = data.data_access
  const ca: Buffer = Buffer.from(data.ca_cert, 'base64')
  const open = async (at: number, withTls: boolean) => {
    const address = { host, port: at, exportName: `${secret}/${snapshot}/virtio0` }
    const disk = await connectNbd(withTls ? { ...address, tls: { ca } } : address)
    await disk.readInto(0, new Uint8Array(4096))
    await disk.close()
  }
  return { transport_modes, transport, port, tls_port, ca, open }
}

test('both: a port with and a port without TLS', async () => {
  const { transport_modes, transport, port, tls_port, open } = await leased('both')
  expect(transport_modes).toEqual(['nbd', 'nbd_ssl'])
  expect(transport).toBe('nbd')
  await open(port, false)
  await open(tls_port, true)
  await expect(open(tls_port, false)).rejects.toMatchObject({ code: 'NBD_REFUSED' })
  await expect(open(port, true)).rejects.toMatchObject({ code: 'NBD_REFUSED' })
})

test('required: one port, nothing but TLS', async () => {
  const { transport_modes, transport, port, tls_port, open } = await leased('required')
  expect(transport_modes).toEqual(['nbd_ssl'])
  expect(transport).toBe('nbd_ssl')
  expect(tls_port).toBe(port)
  await open(port, true)
  await expect(open(port, false)).rejects.toMatchObject({ code: 'NBD_REFUSED' })
})

test('off: no TLS and no authority', async () => {
  const { transport_modes, transport, port, tls_port, ca, open } = await leased('off')
  expect([transport_modes, transport, tls_port, ca.length]).toEqual([['nbd'], 'nbd', undefined, 0])
  await open(port, false)
})
