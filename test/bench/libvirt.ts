import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Closer } from '@varve/runtime'
import { runTool } from '../support/tools.ts'
import { Skip } from './skip.ts'

/** A libvirt of its own. */
export interface BenchLibvirt {
  /** The root of its process tree, which has the virtual machines too. */
  readonly pid: number
  /** What a client needs to find it. */
  readonly env: Readonly<Record<string, string>>
  /** Goes before a client's command. */
  readonly client: readonly string[]
  /** @throws with what it complains about */
  virsh(...args: string[]): Promise<string>
}

export const LIBVIRT_URI = 'qemu:///session'

/** Only a daemon and clients that aren't root meet at `qemu:///session`, which has all of its files where XDG_* say. It stays the same user outside. */
const AS_USER = ['unshare', '--user', '--map-user=1000', '--map-group=1000']

/**
 * The first process of a namespace: it reaps those that leave their parents, as libvirt waits for, and when it ends all end. It does so at the end of its
 * input, so that nothing outlives the bench however that ends. What can't be opened as KVM is not probed, which takes up to half a minute where it is
 * there and does not work.
 */
const INIT = `exec 3<&0
if [ -e /dev/kvm ]; then mount --bind "$2" /dev/kvm && mount -o remount,bind,ro /dev/kvm || exit; fi
${AS_USER.join(' ')} "$1" < /dev/null 3<&- &
read _ <&3 &
wait $!`

/** @throws Skip when it does not start here */
export async function startBenchLibvirt(folder: string, libvirtd: string, closer: Closer): Promise<BenchLibvirt> {
  const places = { XDG_RUNTIME_DIR: join(folder, 'run'), XDG_CONFIG_HOME: join(folder, 'etc'), XDG_CACHE_HOME: join(folder, 'cache') }
  const env = { ...places, HOME: folder, LIBVIRT_AUTOSTART: '0' }
  for (const place of Object.values(places)) await mkdir(join(place, 'libvirt'), { recursive: true })
  // Without virtlogd.
  await writeFile(join(places.XDG_CONFIG_HOME, 'libvirt/qemu.conf'), 'stdio_handler = "file"\n')
  const noKvm = join(folder, 'no-kvm')
  await writeFile(noKvm, '')
  const namespaces = ['--user', '--map-root-user', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc']
  const child = spawn('unshare', [...namespaces, 'sh', '-c', INIT, 'sh', libvirtd, noKvm], {
    env: { ...process.env, ...env },
    stdio: ['pipe', 'ignore', 'pipe'],
  })
  let complaints = ''
  child.stderr.on('data', part => (complaints = (complaints + String(part)).slice(-1000)))
  const ended = new Promise<void>(resolve => {
    child.once('close', () => resolve())
    child.once('error', () => resolve())
  })
  closer.add('libvirt', async () => {
    child.stdin.end()
    await ended
  })
  const socket = join(places.XDG_RUNTIME_DIR, 'libvirt/libvirt-sock')
  for (let tries = 0; !existsSync(socket); tries++) {
    if (tries > 200 || child.exitCode !== null) throw new Skip(`libvirtd does not start here: ${complaints.trim().split('\n').at(-1)}`)
    await sleep(50)
  }
  const settings = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  const virsh = [...AS_USER.slice(1), 'env', ...settings, 'virsh', '-q', '-c', LIBVIRT_URI]
  return { pid: child.pid!, env, client: AS_USER, virsh: (...args) => runTool('unshare', [...virsh, ...args]) }
}
