import { post } from '../api.ts'
import type { PointInfo, RunInfo } from '../api-types.ts'
import { bytes, clock, shortId } from '../format.ts'
import { runLink } from '../route.ts'
import { ActionButton } from './action-button.tsx'

/**
 * The points of a VM as layers of sediment, newest on top. The width of a layer is what it added to the repository, to one scale for
 * all; a thin layer still shows as a line. Each disk has its shade.
 */
export function ChainStrata({ points }: { points: readonly PointInfo[] }) {
  if (points.length === 0) return <p class="empty">No restore points yet.</p>
  const newestFirst = [...points].sort((a, b) => b.createdAt.localeCompare(a.createdAt))
  const widest = Math.max(1, ...points.map(({ stored }) => stored))
  const disks = [...new Set(points.flatMap(({ images }) => images.map(({ diskId }) => diskId)))].sort()
  return (
    <section aria-labelledby="points">
      <h2 id="points">Restore points</h2>
      <p class="quiet legend">
        Newest on top; the width is what a point added to the repository, {bytes(points.reduce((sum, { stored }) => sum + stored, 0))} in
        all.{' '}
        {disks.map((diskId, at) => (
          <span key={diskId} class="key">
            <span class={`swatch shade${at % 4}`} aria-hidden="true" /> {diskId}
          </span>
        ))}
      </p>
      <ol class="strata">
        {newestFirst.map((point, at) => (
          <Layer key={point.id} point={point} widest={widest} disks={disks} foot={newestFirst[at + 1]?.chainId !== point.chainId} />
        ))}
      </ol>
    </section>
  )
}

interface LayerProps {
  readonly point: PointInfo
  readonly widest: number
  readonly disks: readonly string[]
  /** The last of its chain: beneath it another chain begins, or the ground. */
  readonly foot: boolean
}

function Layer({ point, widest, disks, foot }: LayerProps) {
  const kinds = new Set(point.images.map(({ kind }) => kind))
  const kind = kinds.size > 1 ? 'mixed' : ([...kinds][0] ?? '')
  const restore = async (): Promise<void> => {
    const run = await post<RunInfo>(`/v1/restore-points/${point.id}/restores`, { target: 'new-vm' })
    location.hash = runLink(run.id)
  }
  return (
    <li class={foot ? 'layer foot' : 'layer'}>
      <h3>
        <time dateTime={point.createdAt}>{clock(point.createdAt)}</time>
      </h3>
      <div class={`bar ${kind}`} aria-hidden="true">
        {point.images.map(image => (
          <span
            key={image.imageId}
            class={`shade${disks.indexOf(image.diskId) % 4}`}
            style={{ width: `${(image.stored / widest) * 100}%` }}
            title={`${image.diskId}: ${bytes(image.stored)}`}
          />
        ))}
      </div>
      <p class="facts">
        <strong>{kind}</strong>, stored {bytes(point.stored)}
        <span class="quiet">
          {' '}
          · point <code>{shortId(point.id)}</code> · checkpoint <code>{point.checkpointId}</code>
        </span>
      </p>
      <details>
        <summary>{reasonsInShort(point)}</summary>
        <table class="cards small">
          <caption class="hidden">Disks of the point of {clock(point.createdAt)}</caption>
          <thead>
            <tr>
              <th scope="col">Disk</th>
              <th scope="col">Kind</th>
              <th scope="col" class="number">
                Read
              </th>
              <th scope="col" class="number">
                Stored
              </th>
              <th scope="col" class="number">
                Size
              </th>
            </tr>
          </thead>
          <tbody>
            {point.images.map(image => (
              <tr key={image.imageId}>
                <th scope="row">{image.diskId}</th>
                <td data-label="Kind">
                  {image.kind} {image.reason === null ? null : <code class="reason">{image.reason}</code>}
                  {image.reasonText === null ? null : <span class="quiet"> {image.reasonText}</span>}
                </td>
                <td data-label="Read" class="number">
                  {bytes(image.read)}
                </td>
                <td data-label="Stored" class="number">
                  {bytes(image.stored)}
                </td>
                <td data-label="Size" class="number">
                  {bytes(image.diskSize)}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
        <div class="row">
          <ActionButton label="Restore to a new VM" act={restore} quiet />
          <a href={runLink(point.runId)}>The run that made it</a>
        </div>
      </details>
    </li>
  )
}

/** Why disks are fulls, in a line; the sentence behind each code is inside. */
function reasonsInShort({ images }: PointInfo): string {
  const reasons = [...new Set(images.flatMap(({ reason }) => (reason === null ? [] : [reason])))]
  const disks = images.length === 1 ? '1 disk' : `${images.length} disks`
  const read = bytes(images.reduce((sum, image) => sum + image.read, 0))
  return `${disks}, read ${read}${reasons.length === 0 ? '' : `, full because ${reasons.join(', ')}`}`
}
