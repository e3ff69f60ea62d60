import { execFile } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { CHARACTER_DEVICE, EXECUTABLE, FOLDER, type Member, newcArchive } from './newc.ts'

const run = promisify(execFile)

/** Kernel and initramfs of the test guest, or why they can't be had on this machine. */
export type GuestImage = { readonly kernel: string; readonly initrd: string } | { readonly missing: string }

const WANTED_MODULES = ['virtio_pci', 'virtio_blk']

/**
 * Build the guest from what `infra/scripts/install-test-tools.sh` unpacked: the distribution's cloud kernel, busybox, and this
 * machine's mke2fs with its libraries. 2-4 s the first time; kept in the cache folder outside the checkout.
 */
export async function guestImage(cache = process.env.VARVE_CACHE ?? join(homedir(), '.cache', 'varve')): Promise<GuestImage> {
  if (!existsSync('/usr/bin/qemu-system-x86_64')) return { missing: 'qemu-system-x86 is not installed' }
  if (!existsSync('/usr/bin/busybox') && !existsSync('/bin/busybox')) return { missing: 'busybox-static is not installed' }
  const root = join(cache, 'guest', 'root')
  const kernelName = existsSync(join(root, 'boot')) ? readdirSync(join(root, 'boot')).find(name => name.startsWith('vmlinuz-')) : undefined
  if (kernelName === undefined) return { missing: 'no guest kernel: run infra/scripts/install-test-tools.sh' }
  const kernel = join(root, 'boot', kernelName)
  const initrd = join(cache, 'guest', 'initrd')
  const init = join(import.meta.dirname.replace('/dist/', '/'), 'init.sh')
  if (existsSync(initrd) && (await stat(initrd)).mtimeMs > (await stat(init)).mtimeMs) return { kernel, initrd }

  const members: Member[] = ['bin', 'sbin', 'dev', 'proc', 'sys', 'tmp', 'mnt', 'modules'].map(path => ({ path, mode: FOLDER }))
  members.push({ path: 'dev/console', mode: CHARACTER_DEVICE, device: [5, 1] })
  members.push({ path: 'init', mode: EXECUTABLE, bytes: await readFile(init) })
  const busybox = existsSync('/bin/busybox') ? '/bin/busybox' : '/usr/bin/busybox'
  members.push({ path: 'bin/busybox', mode: EXECUTABLE, bytes: await readFile(busybox) })
  members.push(...(await programWithLibraries('/sbin/mke2fs')))
  members.push(...(await modules(join(root, 'lib', 'modules', kernelName.slice('vmlinuz-'.length)))))
  await mkdir(dirname(initrd), { recursive: true })
  // Several test processes may build it at once; the rename makes the last one win whole.
  await writeFile(`${initrd}.${process.pid}`, newcArchive(members))
  await rename(`${initrd}.${process.pid}`, initrd)
  return { kernel, initrd }
}

async function programWithLibraries(program: string): Promise<Member[]> {
  const { stdout } = await run('ldd', [program])
  const libraries = [...stdout.matchAll(/(\/\S+) \(0x/g)].map(match => match[1] ?? '')
  const folders = new Set<string>()
  for (const library of libraries) {
    const parts = dirname(library).slice(1).split('/')
    for (let i = 1; i <= parts.length; i += 1) folders.add(parts.slice(0, i).join('/'))
  }
  const files = await Promise.all(
    [program, ...libraries].map(async path => ({ path: path.slice(1), mode: EXECUTABLE, bytes: await readFile(path) })),
  )
  return [...[...folders].map(path => ({ path, mode: FOLDER })), ...files]
}

/** The wanted modules and what they depend on, dependencies first, read from each module's `depends=`. */
async function modules(folder: string): Promise<Member[]> {
  const files = new Map<string, string>()
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (entry.name.endsWith('.ko'))
      files.set(basename(entry.name, '.ko').replaceAll('-', '_'), join(entry.parentPath ?? entry.path, entry.name))
  }
  const order: string[] = []
  const members: Member[] = []
  const add = async (name: string): Promise<void> => {
    if (order.includes(`${name}.ko`)) return
    const file = files.get(name)
    if (file === undefined) return // built into the kernel
    const bytes = await readFile(file)
    const depends = /\0depends=([^\0]*)\0/.exec(bytes.toString('latin1'))?.[1] ?? ''
    for (const dependency of depends.split(',').filter(Boolean)) await add(dependency.replaceAll('-', '_'))
    order.push(`${name}.ko`)
    members.push({ path: `modules/${name}.ko`, mode: EXECUTABLE, bytes })
  }
  for (const name of WANTED_MODULES) await add(name)
  members.push({ path: 'modules/order', mode: 0o100644, bytes: Buffer.from(`${order.join('\n')}\n`) })
  return members
}
