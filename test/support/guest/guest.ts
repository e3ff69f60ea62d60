import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, readFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { GuestImage } from './image.ts'

/** Where the guest's disk is: an export over NBD, or a file (with `format`). */
export type GuestDisk =
  | { readonly socket: string; readonly exportName: string }
  | { readonly file: string; readonly format: 'raw' | 'qcow2' }

/** A booted guest. Commands run in its shell, one at a time. */
export interface Guest {
  readonly process: ChildProcess
  /** Output of one command line; throws when it fails or takes longer than `ms`. */
  run(command: string, ms?: number): Promise<string>
  /** kill -9 of QEMU: a power cut. */
  kill(): Promise<void>
  powerOff(): Promise<void>
}

/** Boot under TCG (2-3 s). QEMU starts stopped, the control channel is connected, then it runs: no byte is lost. */
export async function bootGuest(image: Exclude<GuestImage, { missing: string }>, folder: string, disk: GuestDisk): Promise<Guest> {
  await mkdir(folder, { recursive: true })
  const control = join(folder, 'control.sock')
  const qmp = join(folder, 'qmp.sock')
  const console_ = join(folder, 'console.log')
  const blockdev =
    'socket' in disk
      ? `driver=raw,node-name=disk0,discard=unmap,detect-zeroes=off,file.driver=nbd,file.server.type=unix,file.server.path=${disk.socket},file.export=${disk.exportName},file.reconnect-delay=30`
      : `driver=${disk.format},node-name=disk0,discard=unmap,file.driver=file,file.filename=${disk.file}`
  const child = spawn(
    'qemu-system-x86_64',
    [
      ...['-machine', 'pc,accel=tcg', '-cpu', 'max', '-m', '192', '-nodefaults', '-no-reboot', '-display', 'none', '-S'],
      ...['-kernel', image.kernel, '-initrd', image.initrd, '-append', 'console=ttyS0 quiet panic=-1 random.trust_cpu=on'],
      ...['-serial', `file:${console_}`, '-serial', `unix:${control},server=on,wait=off`, '-qmp', `unix:${qmp},server=on,wait=off`],
      ...['-blockdev', blockdev, '-device', 'virtio-blk-pci,drive=disk0,id=vda'],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let complaint = ''
  child.stderr?.on('data', bytes => {
    complaint += String(bytes)
  })
  const dead = new Promise<never>((_, reject) => {
    child.once('exit', (code, signal) => reject(new Error(`QEMU ended (${code ?? signal}): ${complaint}`)))
    child.once('error', reject)
  })
  dead.catch(() => {})
  const killAtExit = (): void => {
    child.kill('SIGKILL')
  }
  process.once('exit', killAtExit)
  child.once('exit', () => process.off('exit', killAtExit))

  const lines = new LineReader(await Promise.race([connectSoon(control), dead]))
  const monitor = await Promise.race([connectSoon(qmp), dead])
  monitor.write('{"execute":"qmp_capabilities"}\n{"execute":"cont"}\n')
  monitor.on('error', () => {})
  monitor.resume()
  try {
    await Promise.race([lines.until(line => line === 'READY', 120_000), dead])
  } catch (cause) {
    child.kill('SIGKILL')
    throw new Error(`the guest did not come up: ${(await readFile(console_, 'utf8').catch(() => '')).slice(-2000)}`, { cause })
  }

  const ended = new Promise<void>(resolve => child.once('exit', () => resolve()))
  return {
    process: child,
    async run(command, ms = 60_000) {
      lines.socket.write(`${command}\n`)
      const output = await Promise.race([lines.until(line => /^\. \d+$/.test(line), ms), dead])
      const status = Number(output.pop()?.slice(2))
      if (status !== 0) throw new Error(`guest: \`${command}\` gave ${status}: ${output.join('\n')}`)
      return output.join('\n')
    },
    async kill() {
      child.kill('SIGKILL')
      await ended
    },
    async powerOff() {
      lines.socket.write('umount /mnt; poweroff -f\n')
      await ended
    },
  }
}

async function connectSoon(path: string): Promise<Socket> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await new Promise<Socket>((resolve, reject) => {
        const socket = connect(path, () => resolve(socket))
        socket.once('error', reject)
      })
    } catch (error) {
      if (attempt > 200) throw error
      await sleep(25)
    }
  }
}

class LineReader {
  readonly socket: Socket
  #rest = ''
  #lines: string[] = []
  #wake: (() => void) | undefined

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', () => {})
    socket.on('data', bytes => {
      const lines = (this.#rest + bytes.toString('utf8').replaceAll('\r', '')).split('\n')
      this.#rest = lines.pop() ?? ''
      this.#lines.push(...lines)
      this.#wake?.()
    })
  }

  /** Take lines up to and with the one that matches. */
  async until(matches: (line: string) => boolean, ms: number): Promise<string[]> {
    const deadline = Date.now() + ms
    for (;;) {
      const index = this.#lines.findIndex(matches)
      if (index >= 0) return this.#lines.splice(0, index + 1)
      if (Date.now() > deadline) throw new Error(`no answer from the guest in ${ms} ms; so far: ${this.#lines.join('\n')}${this.#rest}`)
      await Promise.race([
        new Promise<void>(resolve => {
          this.#wake = resolve
        }),
        sleep(500),
      ])
    }
  }
}
