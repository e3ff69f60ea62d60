import Type from 'typebox'
import type { PlatformVm, VmConfig } from '../driver.ts'
import { PlatformError } from '../errors.ts'
import { answerCheck } from './check-answer.ts'
import { SCP_DEFAULTS, type ScpOptions } from './options.ts'
import { type ScpClient, segment } from './scp-client.ts'
import type { Snapshots } from './snapshots.ts'
import { waitForTask } from './tasks.ts'
import { changeOfVm, newVmBody, type Places } from './vm-config.ts'
import { type Server, serverAnswer, serverPageAnswer, vmOf } from './vm-view.ts'

const PAGE_SIZE = 100
const MOST_PAGES = 10_000

const createdAnswer = answerCheck(Type.Object({ uuid: Type.String({ pattern: '^[\\w.:-]{1,200}$' }) }))
const namedAnswer = answerCheck(Type.Object({ id: Type.String({ pattern: '^[\\w.:-]{1,200}$' }), name: Type.String({ maxLength: 1000 }) }))
const idPageAnswer = answerCheck(
  Type.Object({ data: Type.Array(Type.Object({ id: Type.String({ maxLength: 200 }) }), { maxItems: 1000 }) }),
)

interface Creation {
  readonly config: VmConfig
  readonly name: string
  readonly clientToken: string
  readonly onAccepted: ((vmId: string) => Promise<void> | void) | undefined
}

/** VMs: list, detail, creation from a saved configuration, change, power, deletion. */
export class Servers {
  readonly #client: ScpClient
  readonly #snapshots: Snapshots
  readonly #options: ScpOptions

  constructor(client: ScpClient, snapshots: Snapshots, options: ScpOptions) {
    this.#client = client
    this.#snapshots = snapshots
    this.#options = options
  }

  async *list(signal?: AbortSignal): AsyncIterable<PlatformVm> {
    // A VM created or deleted meanwhile shifts the pages: each VM is told once.
    const seen = new Set<string>()
    let page = 0
    for (let pages = 0; pages < MOST_PAGES; pages++) {
      const answer = serverPageAnswer(
        'list VMs',
        await this.#client.call({
          method: 'GET',
          path: '/janus/20240725/servers',
          query: { page_num: page, page_size: PAGE_SIZE },
          what: 'list VMs',
          signal,
        }),
      )
      for (const item of answer.data) {
        const vm = this.#listed(item)
        if (seen.has(vm.id)) continue
        seen.add(vm.id)
        yield vm
      }
      if (answer.next_page_num === '') return
      const next = Number(answer.next_page_num)
      if (!Number.isInteger(next) || next <= page)
        throw new PlatformError('PLATFORM_ANSWER_INVALID', 'list VMs: the next page is not a later one')
      page = next
    }
    throw new PlatformError('PLATFORM_ANSWER_INVALID', `list VMs: more than ${MOST_PAGES} pages`)
  }

  async get(vmId: string, signal?: AbortSignal): Promise<PlatformVm> {
    const server = await this.#detail(vmId, signal)
    return vmOf(server, await this.#snapshots.hasInternal(vmId, signal))
  }

  /** The same `clientToken` gives the same VM. `onAccepted` hears its id before the task that makes it has ended. */
  async create({ config, name, clientToken, onAccepted }: Creation, signal?: AbortSignal): Promise<string> {
    const [azs, datastores, hosts] = await Promise.all([
      this.#ids('/janus/20180725/azs', signal),
      this.#ids('/janus/20200725/storages', signal),
      this.#ids('/janus/20240725/hosts', signal),
    ])
    const places: Places = { azs, datastores, hosts }
    const data = await this.#client.call({
      method: 'POST',
      path: '/janus/20180725/servers/config',
      body: newVmBody(config, { name, clientToken }, places),
      clientToken,
      what: `create VM ${name}`,
      signal,
    })
    const { uuid } = createdAnswer('create VM', data)
    await onAccepted?.(uuid)
    await this.#task(`create VM ${name}`, data, signal)
    return uuid
  }

  async edit(vmId: string, config: VmConfig, signal?: AbortSignal): Promise<void> {
    const server = await this.#detail(vmId, signal)
    const body = changeOfVm(config, vmOf(server, false).disks)
    const data = await this.#client.call({
      method: 'PUT',
      path: `/janus/20180725/servers/${segment(vmId, 'VM_NOT_FOUND')}/config`,
      body,
      what: 'edit VM',
      missing: 'VM_NOT_FOUND',
      conflict: 'VM_BUSY',
      signal,
    })
    await this.#task('edit VM', data, signal)
  }

  async power(vmId: string, state: 'on' | 'off', signal?: AbortSignal): Promise<void> {
    if (vmOf(await this.#detail(vmId, signal), false).power === state) return
    if (state === 'on') return this.#powerTask(vmId, 'start', undefined, signal)
    try {
      await this.#powerTask(vmId, 'stop', { force: 0 }, signal, this.#options.shutdownMs ?? SCP_DEFAULTS.shutdownMs)
    } catch (error) {
      if (!(error instanceof PlatformError) || (error.code !== 'TASK_TIMEOUT' && error.code !== 'TASK_FAILED')) throw error
    }
    // A guest without the vendor's tools doesn't hear a request to shut down.
    if (vmOf(await this.#detail(vmId, signal), false).power !== 'off') await this.#powerTask(vmId, 'stop', { force: 1 }, signal)
  }

  /** Not into the recycle bin: only VMs that a failed restore left half-made are deleted, and they are as big as the original. */
  async delete(vmId: string, signal?: AbortSignal): Promise<void> {
    try {
      const data = await this.#client.call({
        method: 'DELETE',
        path: `/janus/20180725/servers/${segment(vmId, 'VM_NOT_FOUND')}`,
        body: { force: 1 },
        what: 'delete VM',
        missing: 'VM_NOT_FOUND',
        conflict: 'VM_BUSY',
        signal,
      })
      await this.#task('delete VM', data, signal)
    } catch (error) {
      if (!(error instanceof PlatformError && error.code === 'VM_NOT_FOUND')) throw error
    }
  }

  /** One VM of a kind we don't know must not hide all others: it is told with the reason `answer-invalid` and without disks. */
  #listed(item: unknown): PlatformVm {
    try {
      return vmOf(serverAnswer('list VMs', item), false)
    } catch (error) {
      const { id, name } = namedAnswer('list VMs', item)
      this.#options.log?.warn({ err: error, vmId: id }, 'the platform lists a VM that is not understood')
      return { id, name, power: 'other', busy: false, disks: [], exclusions: ['answer-invalid'] }
    }
  }

  async #detail(vmId: string, signal: AbortSignal | undefined): Promise<Server> {
    const path = `/janus/20240725/servers/${segment(vmId, 'VM_NOT_FOUND')}`
    return serverAnswer('VM', await this.#client.call({ method: 'GET', path, what: 'VM', missing: 'VM_NOT_FOUND', signal }))
  }

  async #powerTask(
    vmId: string,
    action: string,
    body: { force: 0 | 1 } | undefined,
    signal?: AbortSignal,
    stallMs?: number,
  ): Promise<void> {
    const what = `${action} VM`
    const data = await this.#client.call({
      method: 'POST',
      path: `/janus/20180725/servers/${segment(vmId, 'VM_NOT_FOUND')}/${action}`,
      ...(body === undefined ? {} : { body }),
      what,
      missing: 'VM_NOT_FOUND',
      conflict: 'VM_BUSY',
      signal,
    })
    await this.#task(what, data, signal, stallMs)
  }

  async #ids(path: string, signal: AbortSignal | undefined): Promise<readonly string[]> {
    const what = `list ${path.split('/').at(-1)}`
    const answer = await this.#client.call({ method: 'GET', path, query: { page_num: 0, page_size: PAGE_SIZE }, what, signal })
    return idPageAnswer(what, answer).data.map(({ id }) => id)
  }

  #task(what: string, data: unknown, signal: AbortSignal | undefined, stallMs?: number): Promise<void> {
    return waitForTask(this.#client, what, data, { stallMs: stallMs ?? this.#options.taskStallMs ?? SCP_DEFAULTS.taskStallMs, signal })
  }
}
