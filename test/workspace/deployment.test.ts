import { access, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ROOT } from '../support/system.ts'
import { runTool } from '../support/tools.ts'

/** The files that others deploy by: valid by their schemas, and as safe as they say. */

const CACHE = process.env.VARVE_CACHE || join(homedir(), '.cache', 'varve')
const CHECK_JSONSCHEMA = join(CACHE, 'python', 'bin', 'check-jsonschema')
const KUBERNETES_VALIDATE = join(CACHE, 'python', 'bin', 'kubernetes-validate')
const KUSTOMIZE = join(CACHE, 'bin', 'kustomize')
const PYTHON = join(CACHE, 'python', 'bin', 'python')

/** The first of these files that is missing, as a reason to skip. */
async function missingFile(...files: string[]): Promise<string | undefined> {
  for (const file of files) {
    try {
      await access(file)
    } catch {
      return `not installed: ${file} (infra/scripts/install-test-tools.sh)`
    }
  }
  return undefined
}

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'varve-deployment-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** YAML documents of a file, read by the Python that the checkers bring along. */
async function documents(file: string): Promise<Manifest[]> {
  const program = 'import sys,json\nfrom ruamel.yaml import YAML\nprint(json.dumps(list(YAML(typ="safe").load_all(open(sys.argv[1])))))'
  return JSON.parse(await runTool(PYTHON, ['-c', program, file])) as Manifest[]
}

interface Container {
  readonly name: string
  readonly env?: readonly { readonly name: string; readonly value?: string; readonly valueFrom?: object }[]
  readonly [field: string]: unknown
}
interface Manifest {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string }
  readonly spec: { readonly template: { readonly spec: { readonly securityContext: object; readonly containers: readonly Container[] } } }
  readonly data?: Readonly<Record<string, string>>
  readonly services?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
}

test('docker-compose.yml is valid by the compose specification, and every service of ours says when it is ready', async ctx => {
  const missing = await missingFile(CHECK_JSONSCHEMA, PYTHON)
  if (missing !== undefined) return ctx.skip(missing)
  const file = join(ROOT, 'docker-compose.yml')
  await runTool(CHECK_JSONSCHEMA, ['--builtin-schema', 'vendor.compose-spec', file])
  const [compose] = await documents(file)
  expect(Object.keys(compose?.services ?? {})).toEqual(expect.arrayContaining(['catalog', 'maintenance', 'snapshot']))
  for (const [name, service] of Object.entries(compose?.services ?? {})) expect(service, name).toHaveProperty('healthcheck')
}, 60_000)

test('the Kubernetes manifests are valid, and pods are probed, unprivileged and get secrets by reference', async ctx => {
  const missing = await missingFile(KUSTOMIZE, KUBERNETES_VALIDATE, PYTHON)
  if (missing !== undefined) return ctx.skip(missing)
  const built = join(folder, 'built.yaml')
  await writeFile(built, await runTool(KUSTOMIZE, ['build', join(ROOT, 'infra', 'kubernetes', 'overlays', 'trial')]))
  // Knows no ScaledObject, which it says as a warning.
  await runTool(KUBERNETES_VALIDATE, ['--strict', '--no-warn', '--quiet', built])

  const manifests = await documents(built)
  const named = (kind: string): string[] => manifests.filter(m => m.kind === kind).map(m => m.metadata.name)
  const ours = ['api', 'block-reader', 'block-writer', 'catalog', 'maintenance', 'snapshot']
  expect(named('Deployment')).toEqual([...ours, 'hci'].sort())
  expect(named('PodDisruptionBudget')).toEqual(ours)
  expect(named('ScaledObject')).toEqual(['block-reader', 'block-writer'])
  expect(named('Secret')).toEqual([])
  for (const { kind, metadata, spec } of manifests.filter(m => m.kind === 'Deployment')) {
    const pod = spec.template.spec
    expect(pod.securityContext, metadata.name).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } })
    for (const container of pod.containers) {
      expect(container, `${kind} ${metadata.name}`).toMatchObject({
        livenessProbe: { httpGet: { path: '/healthz' } },
        readinessProbe: { httpGet: { path: '/readyz' } },
        securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
        resources: { requests: { cpu: expect.anything(), memory: expect.anything() } },
      })
      const secrets = container.env?.filter(({ name }) => /(TOKEN|SECRET|PASSWORD|KEY|DATABASE_URL|QUEUE_URL)$/.test(name)) ?? []
      for (const { name, value, valueFrom } of secrets) {
        expect(value, name).toBeUndefined()
        expect(valueFrom, name).toHaveProperty('secretKeyRef')
      }
      const hasDatabase = container.env?.some(({ name }) => name === 'VARVE_DATABASE_URL') ?? false
      expect(hasDatabase, metadata.name).toBe(metadata.name === 'catalog')
    }
  }
}, 60_000)

test('every setting that the manifests name is one that a service reads', async ctx => {
  const missing = await missingFile(KUSTOMIZE)
  if (missing !== undefined) return ctx.skip(missing)
  const built = await runTool(KUSTOMIZE, ['build', join(ROOT, 'infra', 'kubernetes', 'overlays', 'trial')])
  const sources = await Promise.all(
    [
      ...['api', 'block-reader', 'catalog', 'hci', 'maintenance', 'snapshot'].map(service =>
        join(ROOT, 'services', service, 'src', 'config.ts'),
      ),
      join(ROOT, 'packages', 'range-worker', 'src', 'settings.ts'),
      join(ROOT, 'packages', 'runtime', 'src', 'run-service.ts'),
    ].map(file => readFile(file, 'utf8')),
  )
  const known = new Set(sources.join('\n').match(/VARVE_[A-Z0-9_]+/g))
  for (const name of new Set(built.match(/VARVE_[A-Z0-9_]+/g))) expect(known, name).toContain(name)
}, 60_000)
