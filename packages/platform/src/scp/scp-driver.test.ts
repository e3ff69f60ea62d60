import { afterEach, describe, expect, test } from 'vitest'
import type { PlatformDriver, PlatformVm } from '../driver.ts'
import type { PlatformError } from '../errors.ts'
import { refused, type ScriptedAnswer, type ScriptedRequest, ScriptedScp } from '../testing/scripted-scp.ts'
import type { ScpOptions } from './options.ts'
import { openScpDriver } from './scp-driver.ts'

const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close()
})

type Routes = Readonly<Record<string, ScriptedAnswer | ((request: ScriptedRequest) => ScriptedAnswer)>>

/** A platform of a few routes, `METHOD path-without-/janus/date` each. Tasks end well unless a route says otherwise. */
async function start(routes: Routes, options: ScpOptions = {}): Promise<{ scp: ScriptedScp; driver: PlatformDriver }> {
  const all: Routes = { 'GET tasks/t': { data: { status: 'finish', progress: 100 } }, 'GET servers/vm': { data: SERVER }, ...routes }
  const scp = await ScriptedScp.start(request => {
    const path = decodeURIComponent(request.path.replace(/^\/janus\/\d{8}\//, ''))
    const route = all[`${request.method} ${path}`]
    if (request.path.startsWith('/janus/2'))
      return route === undefined ? refused(404, 'no route') : typeof route === 'function' ? route(request) : route
    return undefined
  })
  const driver = openScpDriver(scp.connection, { retryPauseMs: 1, taskStallMs: 300, ...options })
  open.push(scp, driver)
  return { scp, driver }
}
/** Any certificate: its time does not matter here. */
const CA_DER = [
  'MIIBeTCCAR+gAwIBAgIUEKTJ2wvUXiUmSwPS6+E47eaItRgwCgYIKoZIzj0EAwIwEjEQMA4GA1UEAwwHVGVzdCBDQTAeFw0yNjExMjMwMDIzMTdaFw0yNjEx',
  'MjUwMDIzMTdaMBIxEDAOBgNVBAMMB1Rlc3QgQ0EwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAS/A5x+81YyUyGemxbOHo/Ws7dosUR7d23mshvuQjdm37nL',
  'zdZKlB1n6UJnPYIfbAJRvO9jC9eAWcetEuj0YZhMo1MwUTAdBgNVHQ4EFgQUBrjWAj6CtLMcvKe1ZQeQLYuqdsUwHwYDVR0jBBgwFoAUBrjWAj6CtLMcvKe1',
  'ZQeQLYuqdsUwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiBaoacDcs91o4T/y3Oa6rnDk31SlmnRxMK+xItXvVIy+QIhALz4UIn1GhzHi/1Z',
  'GXofdxXN1j/Z5z92pSjiI2vcxrQ0',
].join('\n')

const TASK = { data: { task_id: 't' } }
const SERVER = {
  id: 'vm',
  name: 'web',
  status: 'running',
  power_state: 'on',
  type: 'hci',
  vmtype: 'vm',
  az_id: 'az',
  disks: [{ id: 'ide0', size_mb: 1024, storage_id: 'ds' }],
}
const code = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'no error',
    (error: PlatformError) => error.code,
  )
async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}

describe('VMs', () => {
  test('the id of a new VM is told before the task that makes it ends, also when that fails', async () => {
    const places = { data: { data: [{ id: 'place' }] } }
    const { driver } = await start({
      'GET azs': places,
      'GET storages': places,
      'GET hosts': places,
      'POST servers/config': { data: { task_id: 't', uuid: 'new-vm' } },
      'GET tasks/t': { data: { status: 'failure', description: 'no space left' } },
    })
    const told: string[] = []
    expect(await code(driver.createVm({}, 'web-2', 'token', undefined, id => void told.push(id)))).toBe('TASK_FAILED')
    expect(told).toEqual(['new-vm'])
  })

  const view = async (change: Record<string, unknown>, snapshots: unknown[] = []): Promise<PlatformVm> => {
    const { driver } = await start({
      'GET servers/vm': { data: { ...SERVER, ...change } },
      'GET servers/vm/snapshots': { data: snapshots },
    })
    return driver.getVm('vm')
  }

  test('a VM in our words, sizes exact where the platform is', async () => {
    expect(await view({})).toEqual({
      id: 'vm',
      name: 'web',
      power: 'on',
      busy: false,
      disks: [{ id: 'ide0', size: 2 ** 30, datastoreId: 'ds' }],
      exclusions: [],
    })
    expect((await view({ disks: [{ id: 'ide0', size_mb: 1, size_bytes: 1048576 + 512 }] })).disks[0]?.size).toBe(1049088)
  })

  test.each([
    [{ type: 'vmware' }, 'not-hci'],
    [{ vmtype: 'placeholder' }, 'vm-type'],
    [{ turbo_mode_enabled: 1 }, 'turbo'],
    [{ os_name: 'Backup Proxy' }, 'backup-proxy'],
    [{ application: 'desk', revert_mode: true }, 'desktop-revert'],
  ])('%j is excluded: %s', async (change, reason) => {
    expect((await view(change)).exclusions).toEqual([reason])
  })

  test('internal snapshots exclude a VM, external ones do not', async () => {
    const snapshot = { id: 's', name: 'x', created_at: '2024-01-01', type: 'qcow2' }
    expect((await view({}, [snapshot])).exclusions).toEqual(['internal-snapshots'])
    expect((await view({}, [{ ...snapshot, type: 'external_qcow2' }])).exclusions).toEqual([])
  })

  test.each([
    ['share_disk', 'shared'],
    ['physical_disk', 'physical'],
    ['rdm_disk', 'rdm'],
  ])('a %s is left out as %s', async (type, reason) => {
    expect((await view({ disks: [{ id: 'ide0', size_mb: 1, type }] })).disks[0]?.excluded).toBe(reason)
  })

  test('power and busyness', async () => {
    expect(await view({ status: 'stopped', power_state: 'off' })).toMatchObject({ power: 'off', busy: false })
    expect(await view({ status: 'stopping' })).toMatchObject({ power: 'other', busy: true })
    expect(await view({ status: 'suspended' })).toMatchObject({ power: 'other', busy: false })
    expect(await view({ task_id: 't' })).toMatchObject({ power: 'on', busy: true })
  })

  test.each([
    ['no size', { disks: [{ id: 'ide0' }] }],
    ['a size that is text', { disks: [{ id: 'ide0', size_mb: '1024' }] }],
    ['a disk id that is a path', { disks: [{ id: '../x', size_mb: 1 }] }],
    ['no disks', { disks: undefined }],
    ['no name', { name: 5 }],
  ])('a VM with %s is PLATFORM_ANSWER_INVALID', async (_name, change) => {
    await expect(view(change)).rejects.toMatchObject({ code: 'PLATFORM_ANSWER_INVALID' })
  })

  test('all pages of the list, each VM once', async () => {
    const { driver, scp } = await start({
      'GET servers': ({ query }) => {
        const page = Number(query.get('page_num'))
        const ids = [page * 2, page * 2 + 1, page * 2 + 2].map(n => ({ ...SERVER, id: `vm${n}` }))
        return { data: { data: ids, next_page_num: page < 2 ? String(page + 1) : '', total_size: 7 } }
      },
    })
    expect((await collect(driver.listVms())).map(({ id }) => id)).toEqual(['vm0', 'vm1', 'vm2', 'vm3', 'vm4', 'vm5', 'vm6'])
    expect(scp.calls).toHaveLength(3)
  })

  test('one VM that is not understood does not hide the others', async () => {
    const odd = { ...SERVER, id: 'odd', disks: 'none' }
    const { driver } = await start({ 'GET servers': { data: { data: [odd, SERVER], next_page_num: '' } } })
    expect((await collect(driver.listVms())).map(({ id, exclusions }) => [id, exclusions])).toEqual([
      ['odd', ['answer-invalid']],
      ['vm', []],
    ])
    const nameless = await start({ 'GET servers': { data: { data: [{ id: '../x' }], next_page_num: '' } } })
    expect(await code(collect(nameless.driver.listVms()))).toBe('PLATFORM_ANSWER_INVALID')
  })

  test('a list whose pages never end is PLATFORM_ANSWER_INVALID', async () => {
    const { driver } = await start({ 'GET servers': { data: { data: [], next_page_num: '1' } } })
    expect(await code(collect(driver.listVms()))).toBe('PLATFORM_ANSWER_INVALID')
  })
})

describe('tasks', () => {
  test.each([
    [{ status: 'failure', description: 'no space left' }, 'TASK_FAILED', 'enable CBT: no space left'],
    [{ status: 'canceled' }, 'TASK_FAILED', 'enable CBT: the task was canceled'],
    [
      { status: 'failure', entities: { sub_tasks: [{ status: 'failure', description: 'disk gone' }] } },
      'TASK_FAILED',
      'enable CBT: disk gone',
    ],
    [
      { status: 'failure', description: 'The VM CBT has expired. Please reset it.' },
      'CBT_EXPIRED',
      'enable CBT: The VM CBT has expired. Please reset it.',
    ],
    [{ status: 'odd' }, 'PLATFORM_ANSWER_INVALID', expect.any(String)],
  ])('%j is %s', async (task, wanted, message) => {
    const { driver } = await start({ 'PUT servers/vm/cbt/status': TASK, 'GET tasks/t': { data: task } })
    await expect(driver.setCbt('vm', 'enable')).rejects.toMatchObject({ code: wanted, message })
  })

  test('a task without progress is TASK_TIMEOUT, one with progress is waited for', async () => {
    let progress = 0
    const { driver } = await start({
      'PUT servers/vm/cbt/status': TASK,
      'GET tasks/t': () => ({ data: progress < 8 ? { status: 'doing', progress: progress++ } : { status: 'finish', progress: 100 } }),
    })
    await driver.setCbt('vm', 'enable')
    expect(progress).toBe(8)
    const stuck = await start({ 'PUT servers/vm/cbt/status': TASK, 'GET tasks/t': { data: { status: 'doing', progress: 5 } } })
    expect(await code(stuck.driver.setCbt('vm', 'enable'))).toBe('TASK_TIMEOUT')
  })
})

describe('snapshots', () => {
  const listed = (name: string, id = 's') => ({ id, name, created_at: '2024-01-01T00:00:00Z', type: 'external_qcow2' })
  const detail = (checkpoint_id: unknown) => ({
    data: { ...listed('mine'), checkpoint_id, vmconf: { name: 'web', hardware_option: { disks: [{ device_id: 'ide0', size_gb: 1 }] } } },
  })

  test('one of the name that exists is taken', async () => {
    const { driver, scp } = await start({
      'GET servers/vm/snapshots': { data: [listed('mine')] },
      'GET servers/vm/snapshots/s': detail('21474836484'),
    })
    expect(await driver.createSnapshot('vm', 'mine')).toEqual({
      id: 's',
      name: 'mine',
      createdAt: '2024-01-01T00:00:00Z',
      checkpointId: (5n << 32n) | 4n,
      config: { name: 'web', hardware_option: { disks: [{ device_id: 'ide0', size_gb: 1 }] }, az_id: 'az' },
      disks: [{ id: 'ide0', size: 2 ** 30 }],
    })
    expect(scp.calls.some(({ method }) => method === 'POST')).toBe(false)
  })

  test('one that came about meanwhile is taken: refused as a name that is taken, then listed', async () => {
    let lists = 0
    const { driver } = await start({
      'GET servers/vm/snapshots': () => ({ data: lists++ === 0 ? [] : [listed('mine')] }),
      'POST servers/vm/snapshots': refused(409, 'the name is in use'),
      'GET servers/vm/snapshots/s': detail(7),
    })
    expect((await driver.createSnapshot('vm', 'mine')).checkpointId).toBe(7n)
  })

  test('one that fails as a task is TASK_FAILED', async () => {
    const { driver } = await start({
      'GET servers/vm/snapshots': { data: [] },
      'POST servers/vm/snapshots': { status: 201, data: { task_id: 't', resource_id: 's' } },
      'GET tasks/t': { data: { status: 'failure', description: 'datastore full' } },
    })
    await expect(driver.createSnapshot('vm', 'mine')).rejects.toMatchObject({
      code: 'TASK_FAILED',
      message: 'create snapshot mine: datastore full',
    })
  })

  test.each([['-1'], ['99999999999999999999'], ['0x5'], [null], [2 ** 60]])('the checkpoint id %j is PLATFORM_ANSWER_INVALID', async id => {
    const { driver } = await start({ 'GET servers/vm/snapshots/s': detail(id) })
    expect(await code(driver.getSnapshot('vm', 's'))).toBe('PLATFORM_ANSWER_INVALID')
  })

  test('deleting what is gone succeeds', async () => {
    const { driver } = await start({ 'DELETE servers/vm/snapshots/s': refused(404, 'no such snapshot') })
    await driver.deleteSnapshot('vm', 's')
  })

  test('unknown ones are SNAPSHOT_NOT_FOUND, of unknown VMs VM_NOT_FOUND', async () => {
    const { driver } = await start({})
    expect(await code(driver.getSnapshot('vm', 's'))).toBe('SNAPSHOT_NOT_FOUND')
    expect(await code(driver.getSnapshot('../x', 's'))).toBe('VM_NOT_FOUND')
  })
})

describe('changed areas', () => {
  const query = { vmId: 'vm', diskId: 'ide0', snapshotId: 's', since: (5n << 32n) | 4n, diskSize: 4 * 65536 }
  const areas = (route: Routes[string]): Promise<{ scp: ScriptedScp; driver: PlatformDriver }> =>
    start({ 'GET servers/vm/cbt/changed-areas': route }, { maxChangedAreaPages: 10 })

  test('page by page', async () => {
    const { driver, scp } = await areas(({ query: q }) => {
      const from = Number(q.get('start_offset'))
      return { data: { changed_area: from === 65536 ? [] : [{ start: from, length: 65536 }], start_offset: from, length: 65536 } }
    })
    expect(await collect(driver.changedAreas(query))).toEqual([0, 2, 3].map(n => [{ offset: n * 65536, length: 65536 }]))
    expect(scp.calls.map(({ query: q }) => q.get('checkpoint_id'))).toEqual(Array(4).fill('21474836484'))
  })

  test.each([
    ['never end', () => ({ data: { changed_area: [], start_offset: 0, length: 0 } })],
    [
      'creep',
      ({ query: q }: ScriptedRequest) => ({ data: { changed_area: [], start_offset: Number(q.get('start_offset')), length: 512 } }),
    ],
    ['are text', { data: { changed_area: [{ start: '0', length: -1 }], start_offset: 0, length: 'all' } }],
    ['are no object', { data: [] }],
  ])('answers that %s are CBT_ANSWER_INVALID', async (_name, route) => {
    const { driver } = await areas(route)
    expect(await code(collect(driver.changedAreas(query)))).toBe('CBT_ANSWER_INVALID')
  })

  test('expired tracking is CBT_EXPIRED', async () => {
    const { driver } = await areas(refused(409, 'The VM CBT has expired. Please reset it.'))
    expect(await code(collect(driver.changedAreas(query)))).toBe('CBT_EXPIRED')
  })
})

describe('leases', () => {
  const running = { server_id: 'vm', remain_time: 119, status: 'running' }
  const created = { 'POST backup-resources': { data: { task_id: 't', resource_id: 'a:b' } } }

  test('a lease and the addresses under it', async () => {
    const access = { transport: 'nbd', host: '10.0.0.1', port: 40809, secret: 'sEcret' }
    const { driver } = await start({ ...created, 'GET backup-resources/a:b': { data: { ...running, data_access: access } } })
    expect(await driver.createLease('vm', 'backup', 120)).toEqual({ id: 'a:b', vmId: 'vm', status: 'running', remainSeconds: 119 })
    expect(await driver.diskAddress('a:b', 'ide0', 's')).toEqual({ host: '10.0.0.1', port: 40809, exportName: 'sEcret/s/ide0' })
    expect(await driver.diskAddress('a:b', 'ide0')).toEqual({ host: '10.0.0.1', port: 40809, exportName: 'sEcret/ide0' })
  })

  test.each([
    ['refused', { 'POST backup-resources': refused(409, 'in use') }, 'LEASE_OCCUPIED'],
    ['a failed task', { ...created, 'GET tasks/t': { data: { status: 'failure', description: 'occupied' } } }, 'LEASE_OCCUPIED'],
    ['occupied', { ...created, 'GET backup-resources/a:b': { data: { ...running, status: 'occupied' } } }, 'LEASE_OCCUPIED'],
    [
      'expired at once',
      { ...created, 'GET backup-resources/a:b': { data: { ...running, status: 'expired', remain_time: -1 } } },
      'LEASE_LOST',
    ],
    ['of a VM that is on', { 'POST backup-resources': refused(409, 'the VM must be powered off') }, 'VM_NOT_OFF'],
  ])('a lease that is %s', async (_name, routes, wanted) => {
    const { driver } = await start(routes as Routes)
    expect(await code(driver.createLease('vm', 'backup', 120))).toBe(wanted)
  })

  test('gone ones are LEASE_LOST, except when released', async () => {
    const { driver } = await start({})
    expect(await code(driver.getLease('a:b'))).toBe('LEASE_LOST')
    expect(await code(driver.renewLease('a:b', 120))).toBe('LEASE_LOST')
    expect(await code(driver.diskAddress('a:b', 'ide0'))).toBe('LEASE_LOST')
    await driver.releaseLease('a:b')
  })

  test('TLS where it is offered and not declined; asked for, plain text is never taken', async () => {
    const plain = { transport: 'nbd', host: 'h', port: 1, secret: 's' }
    const both = { ...plain, tls_port: 2 }
    const only = { transport: 'nbd_ssl', host: 'h', port: 3, secret: 's' }
    const at = async (access: unknown, transport?: 'nbd' | 'nbd_ssl', ca_cert: unknown = CA_DER) => {
      const { scp } = await start({ 'GET backup-resources/a:b': { data: { ...running, ca_cert, data_access: access } } })
      const driver = openScpDriver({ ...scp.connection, transport })
      try {
        const { port, tls } = await driver.diskAddress('a:b', 'ide0')
        return [port, tls?.ca.split('\n')[0]]
      } catch (error) {
        return (error as PlatformError).code
      } finally {
        await driver.close()
      }
    }
    const pem = '-----BEGIN CERTIFICATE-----'
    expect(await at(plain)).toEqual([1, undefined])
    expect(await at(both)).toEqual([2, pem])
    expect(await at(only)).toEqual([3, pem])
    expect(await at(both, 'nbd')).toEqual([1, undefined])
    expect(await at(only, 'nbd')).toBe('PLATFORM_REFUSED')
    expect(await at(plain, 'nbd_ssl')).toBe('PLATFORM_REFUSED')
    for (const broken of ['', null, 'bm90IGEgY2VydGlmaWNhdGU=']) expect(await at(both, 'nbd_ssl', broken)).toBe('PLATFORM_ANSWER_INVALID')
  })

  test.each([
    ['none', undefined],
    ['another transport', { transport: 'hotadd', host: 'h', port: 1, secret: 's' }],
    ['a port too high', { transport: 'nbd', host: 'h', port: 65536, secret: 's' }],
    ['a secret with a slash', { transport: 'nbd', host: 'h', port: 1, secret: '../s' }],
  ])('data access that is %s is PLATFORM_ANSWER_INVALID', async (_name, access) => {
    const { driver } = await start({ 'GET backup-resources/a:b': { data: { ...running, data_access: access } } })
    expect(await code(driver.diskAddress('a:b', 'ide0'))).toBe('PLATFORM_ANSWER_INVALID')
  })
})

describe('power and deletion', () => {
  test('a VM that is off already is not stopped, one whose guest does not listen is switched off', async () => {
    const off = await start({ 'GET servers/vm': { data: { ...SERVER, status: 'stopped' } } })
    await off.driver.power('vm', 'off')
    expect(off.scp.calls).toHaveLength(1)

    let status = 'running'
    const deaf = await start(
      {
        'GET servers/vm': () => ({ data: { ...SERVER, status } }),
        'POST servers/vm/stop': ({ body }) => {
          if ((body as { force: number }).force === 1) status = 'stopped'
          return TASK
        },
        'GET tasks/t': () => ({ data: status === 'stopped' ? { status: 'finish' } : { status: 'doing', progress: 1 } }),
      },
      { shutdownMs: 120 },
    )
    await deaf.driver.power('vm', 'off')
    expect(deaf.scp.calls.filter(({ method }) => method === 'POST').map(({ body }) => body)).toEqual([{ force: 0 }, { force: 1 }])
  })

  test('deleting a VM that is gone succeeds', async () => {
    const { driver } = await start({ 'DELETE servers/vm': refused(404, 'no such VM') })
    await driver.deleteVm('vm')
  })
})
