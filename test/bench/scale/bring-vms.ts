import { type Catalog, placeAfter, type SeenVm, type Vm } from '@varve/catalog-client'

/** A platform of VMs with two disks each, as an inventory reports them. */
export async function bringVms(catalog: Catalog, count: number): Promise<void> {
  const credentials = { username: 'u', password: 'p' }
  const platform = await catalog.addPlatform({ name: 'simulated', kind: 'scp', url: 'https://simulated.invalid', credentials })
  const seen = Array.from(
    { length: count },
    (_, n): SeenVm => ({
      platformVmId: `vm-${n}`,
      name: `vm ${String(n).padStart(5, '0')}`,
      power: 'on',
      exclusions: [],
      disks: [0, 1].map(disk => ({ diskId: `virtio${disk}`, size: (1 + (n % 64)) * 2 ** 34 })),
    }),
  )
  await catalog.reportVms(platform.id, seen)
}

export async function allVms(catalog: Catalog): Promise<Vm[]> {
  const all: Vm[] = []
  for (;;) {
    const last = all.at(-1)
    const page = await catalog.listVms(last === undefined ? {} : { after: placeAfter(last) })
    if (page.length === 0) return all
    all.push(...page)
  }
}
