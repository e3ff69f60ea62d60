import type { Datastore } from '../datastore/datastore.ts'
import { HciError } from '../errors.ts'

/** VM names are unique here, because guests find their disks by them; the datastore knows ids only. */
export class VmNames {
  readonly #datastore: Datastore
  readonly #reserved = new Set<string>()

  constructor(datastore: Datastore) {
    this.#datastore = datastore
  }

  /** Throws NAME_TAKEN when another VM than `except` has the name, or is about to. */
  require(name: string, except?: string): void {
    if (this.#reserved.has(name) || this.#datastore.listVms().some(vm => vm.name === name && vm.id !== except)) {
      throw new HciError('NAME_TAKEN', `a VM named ${name} exists`, { name })
    }
  }

  /** The name is nobody else's while `work` gives it to a VM. */
  async whileReserved<T>(name: string, except: string | undefined, work: () => Promise<T>): Promise<T> {
    this.require(name, except)
    this.#reserved.add(name)
    try {
      return await work()
    } finally {
      this.#reserved.delete(name)
    }
  }
}
