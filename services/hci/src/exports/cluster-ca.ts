import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { writeFileAtomically } from '../atomic-file.ts'

const VALID_YEARS = 10
/** What ends within this time is made anew when the platform starts. */
const RENEW_MS = 90 * 24 * 3600 * 1000
/** Certificates are valid from a little before they are made: clocks differ. */
const BACKDATE_MS = 24 * 3600 * 1000

/** What TLS of the backup NBD port needs. */
export interface ClusterTls {
  /** The authority's certificate in base64 DER, as a lease's `ca_cert` carries it. */
  readonly caCert: string
  /** The server's certificate and key, PEM. */
  readonly cert: string
  readonly key: string
}

interface Pair {
  readonly cert: string
  readonly key: string
}

/**
 * The authority of this platform, and its server certificate for `host` (DNS name or address; `localhost` and 127.0.0.1 too). Both are made at
 * the first start and kept, key and certificate in one file for its owner only: `cluster-ca.pem`, `nbd-server.pem`. Leases carry the authority,
 * so a new one, ten years later, needs no step by anybody.
 */
export async function openClusterTls(dataDir: string, host: string): Promise<ClusterTls> {
  const names = [...new Set([host, 'localhost', '127.0.0.1'])]
  const caPath = join(dataDir, 'cluster-ca.pem')
  const ca = (await readPair(caPath, () => true)) ?? (await savePair(caPath, await makeAuthority()))
  const authority = new X509Certificate(ca.cert)
  const serverPath = join(dataDir, 'nbd-server.pem')
  const server =
    (await readPair(serverPath, certificate => certificate.verify(authority.publicKey) && names.every(name => isFor(certificate, name)))) ??
    (await savePair(serverPath, await makeServer(ca, host, names)))
  return { caCert: authority.raw.toString('base64'), ...server }
}

function isFor(certificate: X509Certificate, name: string): boolean {
  return (isIP(name) === 0 ? certificate.checkHost(name) : certificate.checkIP(name)) !== undefined
}

/** `undefined` when there is none, or it is not fit any more. Throws when the file is there and is damaged. */
async function readPair(path: string, fits: (certificate: X509Certificate) => boolean): Promise<Pair | undefined> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const certificate = new X509Certificate(text)
  const key = createPrivateKey(text)
  if (!certificate.checkPrivateKey(key)) throw new Error(`${path}: the key does not belong to the certificate`)
  if (Date.parse(certificate.validTo) < Date.now() + RENEW_MS || !fits(certificate)) return undefined
  return { cert: certificate.toString(), key: String(key.export({ format: 'pem', type: 'pkcs8' })) }
}

async function savePair(path: string, pair: Pair): Promise<Pair> {
  await writeFileAtomically(path, pair.key + pair.cert)
  return pair
}

async function makeAuthority(): Promise<Pair> {
  return make('Varve HCI', {
    extensions: [
      { name: 'basicConstraints', cA: true, pathLenConstraint: 0, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    ],
  })
}

async function makeServer(ca: Pair, host: string, names: readonly string[]): Promise<Pair> {
  const altNames = names.map(name => (isIP(name) === 0 ? { type: 2 as const, value: name } : { type: 7 as const, ip: name }))
  return make(host, {
    ca,
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      { name: 'subjectAltName', altNames },
    ],
  })
}

type Making = NonNullable<Parameters<typeof import('selfsigned')['generate']>[1]>

async function make(name: string, options: Making): Promise<Pair> {
  // Needed at the first start only, and large.
  const { generate } = await import('selfsigned')
  const notBeforeDate = new Date(Date.now() - BACKDATE_MS)
  const notAfterDate = new Date(notBeforeDate)
  notAfterDate.setFullYear(notAfterDate.getFullYear() + VALID_YEARS)
  const subject = [
    // A common name is 64 characters at most; what counts is the alternative name.
    { name: 'commonName', value: name.slice(0, 64) },
    { name: 'organizationName', value: 'HCI Cluster Manager CA' },
  ]
  const made = await generate(subject, { keyType: 'ec', curve: 'P-256', algorithm: 'sha256', notBeforeDate, notAfterDate, ...options })
  return { cert: `${made.cert.trim()}\n`, key: `${made.private.trim()}\n` }
}
