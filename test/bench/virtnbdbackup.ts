import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { findTool, runTool } from '../support/tools.ts'
import type { Change } from './bench-disk.ts'
import { type BenchLibvirt, LIBVIRT_URI, startBenchLibvirt } from './libvirt.ts'
import { type Measured, measured } from './measure.ts'
import { bytesIn, into } from './peer-folders.ts'
import type { Peer, PeerContext } from './peers.ts'
import { Skip } from './skip.ts'

const TOOLS = ['virtnbdbackup', 'virtnbdrestore', 'libvirtd', 'virsh', 'qemu-system-x86_64', 'qemu-img', 'unshare']
/** The options of each variant, by the name of its rows and that of its virtual machine. */
const VARIANTS = [
  ['virtnbdbackup', 'raw', []],
  ['virtnbdbackup lz4', 'lz4', ['-z']],
] as const

/**
 * virtnbdbackup, which reads a paused virtual machine of QEMU through libvirt over NBD, as it is and with lz4. What was written since its last backup it has
 * from QEMU's dirty bitmap. Each variant has a virtual machine of its own, because a full drops the checkpoints of all others.
 *
 * @throws Skip
 */
export async function virtnbdbackupPeers(context: PeerContext): Promise<Peer[]> {
  const missing = TOOLS.filter(name => findTool(name) === undefined)
  if (missing.length > 0) throw new Skip(`${missing.join(', ')} not installed (test/bench/install-peers.sh)`)
  const folder = join(context.folder, 'virt')
  await mkdir(folder)
  const libvirt = await startBenchLibvirt(folder, findTool('libvirtd')!, context.closer)
  const peers: Peer[] = []
  for (const [name, domain, options] of VARIANTS) {
    const own = join(folder, domain)
    await mkdir(own)
    await startDomain(libvirt, domain, own, context.disk.path).catch(error => {
      throw new Skip(`libvirt does not start a virtual machine here: ${String(error.stderr ?? error.message).trim()}`)
    })
    peers.push(peer(name, { libvirt, domain, folder: own, disk: context.disk.path, options }))
  }
  return peers
}

/**
 * Its disk is an overlay over the bench's own, for which there is no room twice. That the bench writes to the disk below changes nothing here: the
 * same bytes go to the overlay.
 */
async function startDomain(libvirt: BenchLibvirt, name: string, folder: string, disk: string): Promise<void> {
  const overlay = join(folder, 'vda.qcow2')
  await runTool('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', disk, '-F', 'raw', overlay])
  const definition = join(folder, 'domain.xml')
  await writeFile(
    definition,
    `<domain type='qemu'>
  <name>${name}</name>
  <memory unit='MiB'>16</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <emulator>${findTool('qemu-system-x86_64')}</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' discard='unmap'/>
      <source file='${overlay}'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <memballoon model='none'/>
  </devices>
</domain>
`,
  )
  await libvirt.virsh('define', definition)
  await libvirt.virsh('start', '--paused', name)
}

interface Source {
  readonly libvirt: BenchLibvirt
  readonly domain: string
  readonly folder: string
  /** The bench's disk, which the domain's is equal to. */
  readonly disk: string
  readonly options: readonly string[]
}

/** Run the arguments and wait for what they left running, which becomes a child of this shell's, the first process of its namespace. */
const TO_THE_LAST = '"$@" || exit; while kill -0 -1 2> /dev/null; do sleep 0.01; done'

function peer(name: string, source: Source): Peer {
  const { libvirt, domain, folder, disk, options } = source
  const output = (round: number): string => join(folder, `backup-${round}`)
  const common = ['-U', LIBVIRT_URI, '-n', '-f', join(folder, 'nbd')]
  const measuring = { env: libvirt.env, servers: [libvirt.pid] }
  const backup = (round: number, level: 'full' | 'inc'): Promise<Measured> => {
    const what = ['-d', domain, '-o', output(round), '-S', folder, ...options, '-l', level]
    return measured([...libvirt.client, 'virtnbdbackup', ...common, ...what], measuring)
  }
  return {
    name,
    target: 'directory',
    async full(round) {
      await rm(output(round - 1), { recursive: true, force: true })
      return backup(round, 'full')
    },
    async incremental(round, changes) {
      await writeThroughQemu(source, changes)
      return backup(round, 'inc')
    },
    restore: round =>
      into(join(folder, 'restored'), async () => {
        const target = join(folder, 'restored/disks')
        // It leaves a qemu-nbd that has not closed the image yet: neither is done before that ends, nor would its processor time be known.
        const together = [...libvirt.client, '--pid', '--fork', '--kill-child', 'sh', '-c', TO_THE_LAST, 'sh']
        const run = await measured([...together, 'virtnbdrestore', ...common, '-i', output(round), '-o', target], measuring)
        // That the changes went the way of a guest's shows here.
        if (round === 1) await runTool('qemu-img', ['compare', '-f', 'raw', '-F', 'qcow2', disk, join(target, 'vda.qcow2')])
        return run
      }),
    stored: round => bytesIn(output(round)),
  }
}

/** Writes as its guest makes them, so that QEMU marks them in its dirty bitmap. Not measured. */
async function writeThroughQemu({ libvirt, domain, folder }: Source, changes: readonly Change[]): Promise<void> {
  const commands: string[] = []
  await into(join(folder, 'changes'), async () => {
    for (const [n, { offset, bytes }] of changes.entries()) {
      const file = join(folder, 'changes', String(n))
      await writeFile(file, bytes)
      const write = `qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend "write -s ${file} ${offset} ${bytes.length}"`
      commands.push(`qemu-monitor-command ${domain} --hmp '${write}'`)
    }
    // As many at once as an argument has room for.
    for (let at = 0; at < commands.length; at += 64) {
      const said = (await libvirt.virsh(commands.slice(at, at + 64).join('; '))).trim()
      if (said !== '') throw new Error(`QEMU did not write: ${said.slice(0, 500)}`)
    }
  })
}
