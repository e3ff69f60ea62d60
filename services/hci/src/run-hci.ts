import { basename, extname } from 'node:path'
import { parseArgs } from 'node:util'
import { createLogger, formatBytes, LOG_LEVELS, type LogLevel, runProcess } from '@varve/runtime'
import type { Hci } from './hci.ts'
import { startHci } from './hci.ts'
import { TLS_MODES, type TlsMode } from './options.ts'

const USAGE = `varve hci [--data DIR] [--port N] [--import FILE ... --name NAME] [--json]

The reference platform: VMs' disks with snapshots and changed block tracking, the SCP OpenAPI, NBD for guests and for backups.

  --data DIR         disks live here (default ./platform)
  --port N           SCP OpenAPI on 127.0.0.1:N (default 7443; 0 = any free port)
  --nbd-port N       NBD for backup applications (default: any free port; leases say which)
  --nbd-tls MODE     off, both (default: a second port with TLS) or required (the one port only with it)
  --guest-port N     NBD for guests over TCP besides the unix socket <data>/guest.sock
  --guest-socket F   the unix socket somewhere else
  --user, --password login of backup applications (default backup / backup: it listens on this machine only)
  --import FILE      make a VM from a raw or qcow2 image, powered on; again for more disks of the same VM
  --name NAME        its name (default: the file's)
  --import-dir DIR   allow POST /varve/v1/import from this folder
  --faults           take scripted faults at /varve-test/faults (for tests of backup applications)
  --json             print one JSON line { url, guestSocket, username, password, ... } when ready

Stop it with Ctrl-C. Example:  npx varve hci --data ./platform --import disk.qcow2 --name web-1
A guest can boot from a disk:  qemu-system-x86_64 -drive file="nbd+unix:///VM/virtio0?socket=./platform/guest.sock",format=raw …`

/** The `hci` command; undefined when the process goes on serving (it ends by signal), or the exit code. */
export async function runHci(argv: readonly string[]): Promise<number | undefined> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      data: { type: 'string', default: './platform' },
      port: { type: 'string', default: '7443' },
      'nbd-port': { type: 'string', default: '0' },
      'nbd-tls': { type: 'string', default: 'both' },
      'guest-port': { type: 'string' },
      'guest-socket': { type: 'string' },
      user: { type: 'string', default: 'backup' },
      password: { type: 'string', default: 'backup' },
      import: { type: 'string', multiple: true },
      name: { type: 'string' },
      'import-dir': { type: 'string' },
      faults: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  await runProcess(async closer => {
    const hci = await startHci({
      dataDir: values.data,
      accounts: [{ username: values.user, password: values.password }],
      log: createLogger('hci', logLevel()),
      listen: { port: portOf(values.port, '--port') },
      backupNbd: { port: portOf(values['nbd-port'], '--nbd-port'), tls: tlsOf(values['nbd-tls']) },
      ...(values['guest-port'] === undefined ? {} : { guestNbd: { port: portOf(values['guest-port'], '--guest-port') } }),
      ...(values['guest-socket'] === undefined ? {} : { guestSocket: values['guest-socket'] }),
      ...(values['import-dir'] === undefined ? {} : { importFolder: values['import-dir'] }),
      faults: values.faults,
    }).catch(error => {
      throw (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
        ? new Error(`port ${values.port} is in use: stop the program that uses it, or give another with --port`, { cause: error })
        : error
    })
    closer.add('hci', () => hci.close())
    const vmId = values.import === undefined ? undefined : await importDisks(hci, values.import, values.name, values.json)
    if (values.json) {
      const { url, guestSocket, backupNbd } = hci
      console.log(JSON.stringify({ url, guestSocket, backupNbd, username: values.user, password: values.password, vmId, pid: process.pid }))
    } else {
      console.log(
        `reference platform: ${hci.url}  (login ${values.user})\nguest disks:        nbd+unix:///VM/DISK?socket=${hci.guestSocket}\nStop with Ctrl-C.`,
      )
    }
  })
  return undefined
}

function logLevel(): LogLevel {
  const level = process.env.VARVE_LOG_LEVEL
  return LOG_LEVELS.find(known => known === level) ?? 'warn'
}

function portOf(text: string, flag: string): number {
  const port = Number(text)
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new Error(`${flag} is a port number, not ${text}`)
  return port
}

function tlsOf(text: string): TlsMode {
  const mode = TLS_MODES.find(known => known === text)
  if (mode === undefined) throw new Error(`--nbd-tls is ${TLS_MODES.join(', ')}, not ${text}`)
  return mode
}

async function importDisks(hci: Hci, files: readonly string[], name: string | undefined, quiet: boolean): Promise<string> {
  let shown = 0
  const vm = await hci.importImage({
    name: name ?? basename(files[0]!, extname(files[0]!)),
    images: files.map(file => ({ file })),
    onProgress: (done, total) => {
      if (quiet || Date.now() - shown < 1000) return
      shown = Date.now()
      console.log(`importing: ${formatBytes(done)} of ${formatBytes(total)}`)
    },
  })
  await hci.datastore.updateVm(vm.id, { power: 'on' })
  if (!quiet) console.log(`VM ${vm.name} (${vm.id}): ${vm.disks.map(disk => `${disk.id} ${formatBytes(disk.size)}`).join(', ')}`)
  return vm.id
}
