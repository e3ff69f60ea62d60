import type { Items, RunInfo, VmInfo } from '../api-types.ts'
import { age, bytes } from '../format.ts'
import { useGet, useList, useLive, useNow } from '../live.ts'
import { Heading } from '../parts/heading.tsx'
import { ProgressBar } from '../parts/progress-bar.tsx'
import { RunsTable, upToDate } from '../parts/runs-table.tsx'
import { StateBadge } from '../parts/state-badge.tsx'
import { Trouble } from '../parts/trouble.tsx'
import { runLink, vmLink } from '../route.ts'

const RUNS_SHOWN = 12

export function FleetView() {
  const live = useLive()
  const vms = useList<VmInfo>('/v1/vms', [live.ended])
  const fetched = useGet<Items<RunInfo>>('/v1/runs?limit=200', [live.ended])
  const runs = upToDate(fetched.value?.items ?? [], live.runs, () => true)
  const error = vms.error ?? fetched.error
  return (
    <>
      <Heading title="Fleet">Fleet</Heading>
      {error === undefined ? null : <Trouble code={error.code} message={error.message} help={error.help} />}
      {vms.value === undefined ? <Waiting failed={error !== undefined} /> : <Vms vms={vms.value} runs={runs} />}
      {runs.length === 0 ? null : <RunsTable caption="Latest runs" runs={runs.slice(0, RUNS_SHOWN)} />}
    </>
  )
}

function Waiting({ failed }: { failed: boolean }) {
  return failed ? null : <p class="quiet">Reading the list of VMs…</p>
}

function Vms({ vms, runs }: { vms: readonly VmInfo[]; runs: readonly RunInfo[] }) {
  const now = useNow()
  if (vms.length === 0) {
    return (
      <p class="empty">
        No VMs yet. Add a platform: <code>varve platform add NAME --url URL --user USER</code>
      </p>
    )
  }
  const latest = new Map<string, RunInfo>()
  for (const run of runs) if (!latest.has(run.vmId)) latest.set(run.vmId, run)
  return (
    <>
      <Tiles vms={vms} latest={latest} />
      <table class="cards">
        <caption>Virtual machines</caption>
        <thead>
          <tr>
            <th scope="col">VM</th>
            <th scope="col">Status</th>
            <th scope="col">Last point</th>
            <th scope="col" class="number">
              Points
            </th>
            <th scope="col" class="number">
              Size
            </th>
            <th scope="col">Power</th>
          </tr>
        </thead>
        <tbody>
          {[...vms]
            .sort((a, b) => a.name.localeCompare(b.name))
            .map(vm => (
              <tr key={vm.id}>
                <th scope="row">
                  <a href={vmLink(vm.id)}>{vm.name}</a>
                </th>
                <td data-label="Status">
                  <Status vm={vm} run={latest.get(vm.id)} />
                </td>
                <td data-label="Last point">
                  {vm.lastPoint === null ? <span class="quiet">never</span> : age(vm.lastPoint.createdAt, now)}
                </td>
                <td data-label="Points" class="number">
                  {vm.points}
                </td>
                <td data-label="Size" class="number">
                  {bytes(sizeOf(vm))} <span class="quiet">{vm.disks.length === 1 ? '1 disk' : `${vm.disks.length} disks`}</span>
                </td>
                <td data-label="Power">{vm.power}</td>
              </tr>
            ))}
        </tbody>
      </table>
    </>
  )
}

function Status({ vm, run }: { vm: VmInfo; run: RunInfo | undefined }) {
  if (run !== undefined && run.endedAt === null) {
    return (
      <a class="bare" href={runLink(run.id)} aria-label={`${run.kind} of ${vm.name} under way`}>
        <ProgressBar run={run} />
      </a>
    )
  }
  if (vm.exclusions.length > 0) return <span class="badge off">excluded: {vm.exclusions.join(', ')}</span>
  if (run === undefined) return vm.points > 0 ? <span class="badge good">protected</span> : <span class="badge warn">no backup yet</span>
  return (
    <a class="bare" href={runLink(run.id)}>
      <StateBadge state={run.state} />
      {run.reason === null ? null : <code class="reason">{run.reason}</code>}
    </a>
  )
}

function Tiles({ vms, latest }: { vms: readonly VmInfo[]; latest: ReadonlyMap<string, RunInfo> }) {
  const runs = [...latest.values()]
  const eligible = vms.filter(({ exclusions }) => exclusions.length === 0)
  const tiles = [
    { label: 'have a restore point', value: `${eligible.filter(({ points }) => points > 0).length} of ${eligible.length}` },
    { label: 'runs under way', value: String(runs.filter(({ endedAt }) => endedAt === null).length) },
    { label: 'last run failed', value: String(runs.filter(({ state }) => state === 'failed').length) },
    { label: 'of disks', value: bytes(vms.reduce((sum, vm) => sum + sizeOf(vm), 0)) },
  ]
  return (
    <dl class="tiles">
      {tiles.map(({ label, value }) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  )
}

function sizeOf({ disks }: VmInfo): number {
  return disks.reduce((sum, { size }) => sum + size, 0)
}
