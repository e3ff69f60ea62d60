import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { ScriptedScp } from '../testing/scripted-scp.ts'
import { openScpDriver } from './scp-driver.ts'

const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close()
})

/** A self-signed certificate for the host, or undefined without the openssl program. */
async function certificateFor(host: string): Promise<{ key: string; cert: string } | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'varve-tls-'))
  try {
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
    const subject = ['-subj', '/CN=platform', '-addext', `subjectAltName=${host}`]
    execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
        '-days',
        '2',
        '-keyout',
        key,
        '-out',
        cert,
        ...subject,
      ],
      {
        stdio: 'ignore',
      },
    )
    return { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') }
  } catch {
    return undefined
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

test.for([
  ['of an unknown authority', 'IP:127.0.0.1', false, 'PLATFORM_TLS_UNTRUSTED'],
  ['of the given authority', 'IP:127.0.0.1', true, undefined],
  ['for another host', 'DNS:elsewhere', true, 'PLATFORM_TLS_UNTRUSTED'],
] as const)('a certificate %s', async ([, host, given, code], ctx) => {
  const tls = await certificateFor(host)
  if (tls === undefined) return ctx.skip('the openssl program is not installed')
  const scp = await ScriptedScp.start(({ path }) => (path.endsWith('version') ? { data: { build_version: '6.11.1' } } : undefined), tls)
  const driver = openScpDriver({ ...scp.connection, url: `https://127.0.0.1:${scp.port}` }, given ? { ca: tls.cert } : {})
  open.push(scp, driver)
  if (code === undefined) expect(await driver.version()).toBe('6.11.1')
  else await expect(driver.version()).rejects.toMatchObject({ code, retryable: false })
})

test.each(['ftp://x/', 'nonsense', ''])('the address %j is refused', url => {
  const credentials = { username: 'a', password: 'b' }
  expect(() => openScpDriver({ id: 'p', kind: 'scp', url, credentials })).toThrow(expect.objectContaining({ code: 'PLATFORM_REFUSED' }))
})

test('a path in the address goes in front of every call', async () => {
  const scp = await ScriptedScp.start(({ path }) =>
    path === '/proxy/janus/20180725/system/version' ? { data: { build_version: '1' } } : undefined,
  )
  const credentials = { accessKey: 'a', secretKey: 'b' }
  const driver = openScpDriver({ ...scp.connection, url: `http://127.0.0.1:${scp.port}/proxy/`, credentials })
  open.push(scp, driver)
  expect(await driver.version()).toBe('1')
})
