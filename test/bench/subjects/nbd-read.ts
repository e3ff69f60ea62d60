import { GiB } from '@varve/runtime'
import { findTool } from '../../support/tools.ts'
import { measured, nodeScript } from '../measure.ts'
import { exportDisk } from '../nbd-export.ts'
import { xoClient } from '../peers.ts'
import { times } from '../samples.ts'
import type { Subject } from '../subject.ts'
import { atLeast, atMost } from '../targets.ts'

const OURS = 'nbd read: varve'
const NBDCOPY = 'nbd read: nbdcopy, 1 connection'
const XO = 'nbd read: @vates/nbd-client'

/** Reading a whole disk to nowhere, over TCP for all: Xen Orchestra's client knows nothing else. */
export const nbdRead: Subject = {
  name: 'nbd',
  about: 'read an export to nowhere: Varve, nbdcopy, @vates/nbd-client',

  async open(parts) {
    const { port, pid } = await exportDisk(parts)
    const servers = [pid]
    const commands: [name: string, command: string[]][] = [
      [OURS, nodeScript('read-nbd', String(port))],
      ['nbd read: varve, a new buffer a read', nodeScript('read-nbd', String(port), 'fresh')],
    ]
    if (findTool('nbdcopy')) commands.unshift([NBDCOPY, ['nbdcopy', '--connections=1', `nbd://127.0.0.1:${port}`, 'null:']])
    else parts.note('skipped nbdcopy: not installed (test/bench/install-peers.sh)')
    const xo = xoClient()
    if (xo === undefined) parts.note('skipped @vates/nbd-client: not installed (test/bench/install-peers.sh)')
    else commands.push([XO, nodeScript('read-nbd-xo', xo, String(port))])
    return async () => {
      for (const [name, command] of commands) await parts.sample(name, () => measured(command, { servers }))
    }
  },

  targets: (samples, { allocated }) => [
    atLeast('NBD read against nbdcopy', samples.ratio(NBDCOPY, OURS), 0.6, 'x'),
    atLeast("NBD read against Xen Orchestra's client", samples.ratio(XO, OURS), 1.5, 'x'),
    atMost('NBD read, processor time', times(samples.median(OURS, 'cpu'), GiB / allocated), 0.6, 'CPU s/GiB'),
  ],
}
