import { post } from '../api.ts'
import type { RunImageInfo, RunInfo } from '../api-types.ts'
import { bytes, clock, percent, seconds, shortId } from '../format.ts'
import { useGet, useLive, useNow } from '../live.ts'
import { ActionButton } from '../parts/action-button.tsx'
import { Heading } from '../parts/heading.tsx'
import { ProgressBar } from '../parts/progress-bar.tsx'
import { took } from '../parts/runs-table.tsx'
import { StateBadge } from '../parts/state-badge.tsx'
import { Trouble } from '../parts/trouble.tsx'
import { vmLink } from '../route.ts'

export function RunView({ id }: { id: string }) {
  const live = useLive()
  const fetched = useGet<RunInfo>(`/v1/runs/${id}`, [live.ended])
  const told = live.runs.get(id)
  // Whoever knows of the end is right; before it the stream is newer than what was fetched once.
  const run = fetched.value?.endedAt ? fetched.value : (told ?? fetched.value)
  if (run === undefined) {
    return (
      <>
        <Heading title="Run">Run</Heading>
        {fetched.error === undefined ? <p class="quiet">Reading…</p> : <Trouble {...fetched.error} message={fetched.error.message} />}
      </>
    )
  }
  return <Run run={run} />
}

const WORDS = { backup: 'Backup', restore: 'Restore', preview: 'Preview' } as const

function Run({ run }: { run: RunInfo }) {
  const now = useNow(1000)
  const word = WORDS[run.kind]
  const active = run.endedAt === null
  return (
    <>
      <Heading title={`${word} of ${run.vmName}`}>
        {word} of <a href={vmLink(run.vmId)}>{run.vmName}</a>
      </Heading>
      <p class="run-head">
        <StateBadge state={run.state} paused={run.paused} />{' '}
        <span class="quiet">
          run {shortId(run.id)}, asked for {clock(run.createdAt)}
        </span>
      </p>
      <Steps run={run} />
      {active ? <ProgressBar run={run} large /> : null}
      <div role="status" class="hidden">
        {active ? '' : `${word} of ${run.vmName} ${run.state}`}
      </div>
      {run.reason === null ? null : <Trouble code={run.reason} message={run.message ?? ''} help={run.help} />}
      {run.kind !== 'preview' && (active || run.images.length > 0) ? <Figures run={run} elapsed={took(run, now)} /> : null}
      {run.prediction === null ? null : <Expected {...run.prediction} />}
      {run.notes.length === 0 ? null : (
        <section aria-labelledby="notes">
          <h2 id="notes">Notes</h2>
          <ul>
            {run.notes.map(note => (
              <li key={note}>{note}</li>
            ))}
          </ul>
        </section>
      )}
      {run.images.length === 0 ? null : <Disks run={run} />}
      {active ? <Actions run={run} /> : null}
    </>
  )
}

function Actions({ run }: { run: RunInfo }) {
  const act = (action: string) => async (): Promise<void> => void (await post(`/v1/runs/${run.id}/${action}`))
  const holdable = run.state !== 'finishing'
  return (
    <div class="actions">
      {run.paused ? <ActionButton label="Resume this run" act={act('resume')} /> : null}
      {holdable && !run.paused ? <ActionButton label="Pause this run" quiet act={act('pause')} /> : null}
      <ActionButton label="Cancel this run" quiet act={act('cancel')} />
    </div>
  )
}

const BOTTLENECKS = {
  source: 'the platform',
  throttle: 'the limit of the platform',
  cpu: 'our processors',
  store: 'the repository',
} as const

const BACKUP_STEPS = ['queued', 'preparing', 'copying', 'sealing', 'finishing']
const RESTORE_STEPS = ['queued', 'preparing', 'copying', 'finishing']
const PREVIEW_STEPS = ['queued', 'preparing', 'finishing']
const STEPS = { backup: BACKUP_STEPS, restore: RESTORE_STEPS, preview: PREVIEW_STEPS } as const

function Steps({ run }: { run: RunInfo }) {
  if (run.endedAt !== null) return null
  const steps = STEPS[run.kind]
  const at = steps.indexOf(run.state)
  return (
    <ol class="steps" aria-label="Steps of this run">
      {steps.map((step, index) => (
        <li key={step} class={index < at ? 'past' : ''} aria-current={index === at ? 'step' : undefined}>
          {step}
        </li>
      ))}
    </ol>
  )
}

function Figures({ run, elapsed }: { run: RunInfo; elapsed: string }) {
  const { totals, progress } = run
  const backup = run.kind === 'backup'
  const active = run.endedAt === null
  const figures: [string, string][] = [
    ...(active
      ? ([
          ['rate', progress.rate === null ? '–' : `${bytes(progress.rate)}/s`],
          ['remaining', progress.remainingSeconds === null ? '–' : seconds(progress.remainingSeconds)],
        ] as [string, string][])
      : []),
    [active ? 'so far' : 'took', elapsed],
    [backup ? 'named as changed' : 'to write', bytes(totals.planned)],
    [backup ? 'read from the platform' : 'read from the repository', bytes(totals.read)],
    [backup ? 'stored' : 'written', bytes(totals.written)],
    ...(backup ? ([['turned out equal', bytes(totals.unchanged)]] as [string, string][]) : []),
    [backup ? 'zero, not stored' : 'left as holes', bytes(totals.zero)],
    ...(run.bottleneck === null ? [] : ([['waited most for', BOTTLENECKS[run.bottleneck]]] as [string, string][])),
    ...(run.targetPlatformVmId === null ? [] : ([['VM on the platform', run.targetPlatformVmId]] as [string, string][])),
  ]
  return <Tiles figures={figures} />
}

function Expected({ of, read, stored, seconds: time }: NonNullable<RunInfo['prediction']>) {
  const figures: [string, string][] = [
    ['expected to read', bytes(read)],
    ...(of === 'backup' ? ([['expected to store', bytes(stored)]] as [string, string][]) : []),
    ['expected to take', seconds(time)],
  ]
  return <Tiles figures={figures} />
}

function Tiles({ figures }: { figures: readonly [string, string][] }) {
  return (
    <dl class="tiles">
      {figures.map(([label, value]) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  )
}

function Disks({ run }: { run: RunInfo }) {
  const backup = run.kind === 'backup'
  return (
    <table class="cards">
      <caption>Disks</caption>
      <thead>
        <tr>
          <th scope="col">Disk</th>
          <th scope="col">Done</th>
          {backup ? <th scope="col">Kind</th> : null}
          <th scope="col" class="number">
            {backup ? 'Named as changed' : 'To write'}
          </th>
          <th scope="col" class="number">
            Read
          </th>
          <th scope="col" class="number">
            {backup ? 'Stored' : 'Written'}
          </th>
          <th scope="col" class="number">
            Size
          </th>
        </tr>
      </thead>
      <tbody>
        {run.images.map(image => (
          <tr key={image.id}>
            <th scope="row">{image.diskId}</th>
            <td data-label="Done">
              <span class="progress">
                <progress max={1} value={diskFraction(run, image)} aria-label={image.diskId} />
                <span class="words">{percent(diskFraction(run, image))}</span>
              </span>
            </td>
            {backup ? (
              <td data-label="Kind">
                {image.kind} {image.reason === null ? null : <code class="reason">{image.reason}</code>}
                {image.reasonText === null ? null : <span class="quiet"> {image.reasonText}</span>}
              </td>
            ) : null}
            <td data-label={backup ? 'Named as changed' : 'To write'} class="number">
              {bytes(image.totals.planned)}
            </td>
            <td data-label="Read" class="number">
              {bytes(image.totals.read)}
            </td>
            <td data-label={backup ? 'Stored' : 'Written'} class="number">
              {bytes(image.totals.written)}
            </td>
            <td data-label="Size" class="number">
              {bytes(image.diskSize)}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

/** As the API counts for the whole run: by bytes or by ranges, whichever is further. */
function diskFraction(run: RunInfo, { totals }: RunImageInfo): number {
  if (run.progress.fraction >= 1) return 1
  const moved = run.kind === 'backup' ? totals.read : totals.written + totals.zero
  const byBytes = totals.planned > 0 ? moved / totals.planned : 0
  const byRanges = totals.rangesTotal > 0 ? totals.rangesDone / totals.rangesTotal : run.state === 'copying' ? 1 : 0
  return Math.min(1, Math.max(byBytes, byRanges))
}
