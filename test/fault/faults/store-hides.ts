import { storeFault } from '../driver/behind-proxy.ts'
import { type Fault, SUCCEEDS } from '../driver/fault.ts'
import { COPYING } from '../driver/points.ts'

/** Listings are off the way of the data; whoever sweeps by them must take away nothing that they leave out or show by half. */
const hides = storeFault({
  name: 'store-hides',
  title: 'S3: every listing lacks half of the keys and says that it is whole; leaks are looked for and swept meanwhile',
  where: ['before-lease', ...COPYING],
  quick: ['middle-range'],
  rules: () => [{ fault: { kind: 'hide', keys: /[02468ace]$|[02468ace]\.(root|json)$/ }, operation: 'LIST' }],
  expect: SUCCEEDS,
})

export const storeHides: readonly Fault[] = [
  {
    ...hides,
    async heal(injection) {
      const { world } = injection
      if (world.services.has('maintenance')) await world.api('POST', '/v1/checks', { scope: 'leaks', sweep: true })
    },
    // Without a service that lists, nobody was shown anything.
    struck: async injection => !injection.world.services.has('maintenance') || ((await hides.struck?.(injection)) ?? true),
  },
]
