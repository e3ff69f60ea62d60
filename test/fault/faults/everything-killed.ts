import { setTimeout as sleep } from 'node:timers/promises'
import { type Fault, type Injection, SUCCEEDS } from '../driver/fault.ts'
import { BACKUP_POINTS, RESTORE_POINTS } from '../driver/points.ts'

async function killServices({ world }: Injection): Promise<void> {
  await Promise.all([...world.services.values()].map(service => service.kill('SIGKILL')))
}

export const allServicesKilled: Fault = {
  name: 'all-services-killed',
  title: 'kill -9 of every service at once, started again after 1 s',
  where: [...BACKUP_POINTS, ...RESTORE_POINTS],
  quick: ['planning', 'middle-range'],
  async inject(injection) {
    await killServices(injection)
    await sleep(1000)
  },
  expect: SUCCEEDS,
}

export const machineRestarted: Fault = {
  name: 'machine-restarted',
  title: 'kill -9 of every service, PostgreSQL, Redis and MinIO, started again on the same folders',
  where: ['snapshot-unheard', 'lease-unheard', 'middle-range', 'sealing', 'finishing', 'restore-lease-unheard', 'restore-middle-range'],
  quick: ['middle-range'],
  async inject(injection) {
    const { world } = injection
    await Promise.all([killServices(injection), world.redis.kill(), world.minio.kill(), world.database.kill()])
    await sleep(500)
  },
  expect: SUCCEEDS,
}

export const platformKilled: Fault = {
  name: 'platform-killed',
  title: 'kill -9 of the platform with its open disks, started again on the same folder',
  where: [
    'before-snapshot',
    'planning',
    'before-lease',
    'middle-range',
    'finishing',
    'cleaning-up',
    'before-vm',
    'restore-before-lease',
    'restore-middle-range',
  ],
  quick: ['middle-range'],
  inject: ({ world }) => world.restartPlatform(),
  expect: SUCCEEDS,
}

export const siteRestarted: Fault = {
  name: 'site-restarted',
  title: 'kill -9 of every service, their servers and the platform with its open disks, started again on the same folders',
  where: ['before-snapshot', 'planning', 'middle-range', 'sealing', 'cleaning-up', 'restore-before-lease', 'restore-middle-range'],
  quick: ['middle-range'],
  async inject(injection) {
    await machineRestarted.inject(injection)
    await injection.world.restartPlatform()
  },
  expect: SUCCEEDS,
}
