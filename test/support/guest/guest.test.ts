import { spawn } from 'node:child_process'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { bootGuest } from './guest.ts'
import { guestImage } from './image.ts'

/** The guest itself, on a disk served by qemu-nbd: what the guest tests of Varve rest on. */
test('the test guest boots, makes a file system and answers', async ctx => {
  const image = await guestImage()
  if ('missing' in image) return ctx.skip(image.missing)
  const folder = await mkdtemp(join(tmpdir(), 'varve-guest-'))
  const disk = join(folder, 'disk.raw')
  await writeFile(disk, '')
  await truncate(disk, 128 * 1024 * 1024)
  const socket = join(folder, 'nbd.sock')
  const server = spawn('qemu-nbd', ['-k', socket, '-x', 'vda', '-f', 'raw', '-t', '-e', '4', '--discard=unmap', disk])
  try {
    const guest = await bootGuest(image, folder, { socket, exportName: 'vda' })
    await guest.run('disk')
    await guest.run('fill 1 3 100; sync')
    const sums = await guest.run('sums')
    expect(sums.split('\n')).toHaveLength(3)
    await expect(guest.run('false')).rejects.toThrow('gave 1')
    await guest.powerOff()
  } finally {
    server.kill()
    await rm(folder, { recursive: true, force: true })
  }
}, 180_000)
