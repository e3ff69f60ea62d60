import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runTool } from './peer-process.ts'

/** Files in the layout that nbdkit, libnbd and qemu look for: `ca-cert.pem`, `server-cert.pem`, `server-key.pem`. */
export interface TestCertificates {
  readonly folder: string
  readonly ca: Buffer
  readonly cert: Buffer
  readonly key: Buffer
}

/** An authority and a server certificate by it, made with the openssl program. `days` < 0: expired. */
export async function makeCertificates(folder: string, names = 'DNS:localhost,IP:127.0.0.1', days = 2): Promise<TestCertificates> {
  const file = (name: string) => join(folder, name)
  const key = (name: string) => ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', file(name)]
  const subject = (name: string) => ['-subj', `/CN=${name}`]
  await writeFile(file('server.ext'), `subjectAltName=${names}\nextendedKeyUsage=serverAuth\n`)
  await runTool('openssl', ['req', '-x509', ...key('ca-key.pem'), ...subject('Test CA'), '-days', '2', '-out', file('ca-cert.pem')])
  await runTool('openssl', ['req', ...key('server-key.pem'), ...subject('test server'), '-out', file('server.csr')])
  const issuer = ['-CA', file('ca-cert.pem'), '-CAkey', file('ca-key.pem'), '-CAcreateserial', '-extfile', file('server.ext')]
  await runTool('openssl', ['x509', '-req', '-in', file('server.csr'), ...issuer, '-days', String(days), '-out', file('server-cert.pem')])
  const [ca, cert, serverKey] = await Promise.all(['ca-cert.pem', 'server-cert.pem', 'server-key.pem'].map(name => readFile(file(name))))
  return { folder, ca: ca!, cert: cert!, key: serverKey! }
}
