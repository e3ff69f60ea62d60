import { type Fault, SUCCEEDS } from '../driver/fault.ts'
import { platformFault } from '../driver/platform-fault.ts'

const EVERYWHERE = [
  'queued',
  'before-snapshot',
  'snapshot-unheard',
  'planning',
  'before-lease',
  'middle-range',
  'finishing',
  'cleaning-up',
  'restore-queued',
  'before-vm',
  'restore-before-lease',
  'restore-middle-range',
  'restore-finishing',
] as const

/** All but logging in. */
const CALLS = { path: '^(?!.*(public-key|authenticate))' }

/** The platform's API does not do what it is asked for a while. */
export const platformRefuses: readonly Fault[] = [
  platformFault({
    name: 'platform-429',
    title: 'platform: five calls answered with 429 and Retry-After',
    where: EVERYWHERE,
    quick: ['planning'],
    faults: () => [{ kind: 'http-status', count: 5, params: { status: 429, retry_after: 1 } }],
    expect: SUCCEEDS,
  }),
  platformFault({
    name: 'platform-401',
    title: 'platform: the token is not taken any more',
    where: EVERYWHERE,
    quick: ['middle-range'],
    faults: () => [{ kind: 'http-status', count: 1, match: CALLS, params: { status: 401 } }],
    expect: SUCCEEDS,
  }),
  platformFault({
    name: 'platform-401-again',
    title: 'platform: three tokens in a row are not taken; of one service they are a login that is refused',
    where: EVERYWHERE,
    quick: ['planning'],
    faults: () => [{ kind: 'http-status', count: 3, match: CALLS, params: { status: 401 } }],
    expect: [...SUCCEEDS, { state: 'failed', reason: 'PLATFORM_AUTH_FAILED' }],
  }),
  platformFault({
    name: 'platform-503',
    title: 'platform: six calls answered with 503',
    where: EVERYWHERE,
    quick: ['before-lease'],
    faults: () => [{ kind: 'http-status', count: 6, params: { status: 503 } }],
    expect: SUCCEEDS,
  }),
]
