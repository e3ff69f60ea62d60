import { post } from '../api.ts'
import type { Items, PointInfo, RunInfo, VmInfo } from '../api-types.ts'
import { bytes } from '../format.ts'
import { useGet, useList, useLive } from '../live.ts'
import { ActionButton } from '../parts/action-button.tsx'
import { ChainStrata } from '../parts/chain-strata.tsx'
import { Heading } from '../parts/heading.tsx'
import { RunsTable, upToDate } from '../parts/runs-table.tsx'
import { Trouble } from '../parts/trouble.tsx'
import { runLink } from '../route.ts'

export function VmView({ id }: { id: string }) {
  const live = useLive()
  const vm = useGet<VmInfo>(`/v1/vms/${id}`, [live.ended])
  const points = useList<PointInfo>(`/v1/vms/${id}/points`, [live.ended])
  const fetched = useGet<Items<RunInfo>>(`/v1/runs?vmId=${id}&limit=10`, [live.ended])
  const runs = upToDate(fetched.value?.items ?? [], live.runs, run => run.vmId === id).slice(0, 10)
  const error = vm.error ?? points.error ?? fetched.error
  const name = vm.value?.name ?? 'VM'
  return (
    <>
      <Heading title={name}>{name}</Heading>
      {error === undefined ? null : <Trouble code={error.code} message={error.message} help={error.help} />}
      {vm.value === undefined ? null : <About vm={vm.value} busy={runs.some(({ endedAt }) => endedAt === null)} />}
      {points.value === undefined ? null : <ChainStrata points={points.value} />}
      {runs.length === 0 ? null : <RunsTable caption="Runs of this VM" runs={runs} withVm={false} />}
    </>
  )
}

function About({ vm, busy }: { vm: VmInfo; busy: boolean }) {
  const backUp = async (): Promise<void> => {
    const run = await post<RunInfo>(`/v1/vms/${vm.id}/backups`, {})
    location.hash = runLink(run.id)
  }
  return (
    <>
      <p class="quiet">
        <code>{vm.platformVmId}</code> on the platform, power {vm.power}.{' '}
        {vm.disks
          .map(({ diskId, size, excluded }) => `${diskId} ${bytes(size)}${excluded === undefined ? '' : ` (left out: ${excluded})`}`)
          .join(', ')}
      </p>
      {vm.exclusions.length > 0 ? (
        <p class="banner">This VM can not be backed up: {vm.exclusions.join(', ')}.</p>
      ) : busy ? null : (
        <ActionButton label="Back up now" act={backUp} />
      )}
    </>
  )
}
