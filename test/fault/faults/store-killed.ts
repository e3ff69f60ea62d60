import { BEHIND_PROXY } from '../driver/behind-proxy.ts'
import { type Fault, SUCCEEDS } from '../driver/fault.ts'
import { BACKUP_POINTS, RESTORE_POINTS } from '../driver/points.ts'

export const storeKilled: readonly Fault[] = [
  {
    name: 'store-killed',
    title: 'kill -9 of MinIO, started again after 2 s',
    world: BEHIND_PROXY,
    where: [...BACKUP_POINTS, ...RESTORE_POINTS],
    quick: ['middle-range', 'restore-middle-range'],
    async inject({ world }) {
      await world.minio.kill('SIGKILL')
      await new Promise(resolve => setTimeout(resolve, 2000))
    },
    expect: SUCCEEDS,
  },
]
