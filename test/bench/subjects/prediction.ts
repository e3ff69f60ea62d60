import { Skip } from '../skip.ts'
import type { Subject } from '../subject.ts'
import { atMost } from '../targets.ts'

const RUN = 'prediction: third incremental'

/** How far the preview of a third backup is from what it then takes; `error` is the part of the time that it was off by. */
export const prediction: Subject = {
  name: 'prediction',
  about: 'the preview of the time of a third backup against the time it takes',

  async open() {
    throw new Skip('the API gives no preview of a backup')
  },

  targets: samples => atMost('time of the third run: off from its preview by', samples.median(RUN, 'error'), 0.3, 'of it'),
}
