import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { defaultDashboardDir, reasonText } from '@varve/api'
import { type ScriptedApi, startScriptedApi } from '@varve/api/testing'
import { FULL_REASONS } from '@varve/planning'
import { createLogger } from '@varve/runtime'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, expect, type TestContext, test } from 'vitest'

/*
 * The dashboard in a real browser, served by the real api under its strict policy, over a catalog in memory whose runs live by themselves.
 * VARVE_TEST_SCREENSHOTS=folder keeps a picture of every view in both widths.
 */

const CHROMIUM = process.env.VARVE_TEST_CHROMIUM ?? '/usr/bin/chromium'
const SCREENSHOTS = process.env.VARVE_TEST_SCREENSHOTS
const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync']
const WIDE = { width: 1280, height: 900 }
const NARROW = { width: 400, height: 800 }

let browser: Browser | undefined
let api: ScriptedApi
let page: Page
let complaints: string[]

beforeAll(async () => {
  if (!existsSync(CHROMIUM)) return
  buildDashboard()
  browser = await chromium.launch({ executablePath: CHROMIUM, headless: true, args: ARGS })
})
afterAll(async () => {
  await browser?.close()
})

beforeEach(async context => {
  if (browser === undefined) return skip(context)
  api = await startScriptedApi({ log: createLogger('dashboard-test', 'silent'), ticks: 20, tickMs: 75 })
  await fetch(`${api.url}/v1/platforms`, {
    method: 'POST',
    headers: { authorization: `Bearer ${api.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'lab', kind: 'scp', url: 'http://scp.test', credentials: { username: 'u', password: 'p' } }),
  })
  page = await browser.newPage({ viewport: WIDE })
  complaints = []
  page.on('console', message => {
    if (message.type() === 'error') complaints.push(message.text())
  })
  page.on('pageerror', error => complaints.push(String(error)))
})
afterEach(async () => {
  await page?.close()
  await api?.close()
})

function skip(context: TestContext): void {
  context.skip(`no Chromium at ${CHROMIUM}; VARVE_TEST_CHROMIUM names another`)
}

/** Other builds need no dashboard, so it may not be there yet. */
function buildDashboard(): void {
  const dir = defaultDashboardDir()
  if (existsSync(join(dir, 'index.html'))) return
  const vite = join(dir, '..', 'node_modules', 'vite', 'bin', 'vite.js')
  const built = spawnSync(process.execPath, [vite, 'build'], { cwd: join(dir, '..'), encoding: 'utf8' })
  if (built.status !== 0) throw new Error(`the dashboard does not build:\n${built.stdout}${built.stderr}`)
}

function vmId(name: string): string {
  const vm = [...api.memory.vms.values()].find(one => one.name === name)
  if (vm === undefined) throw new Error(`no VM ${name}`)
  return vm.id
}

/** Start a backup as somebody else would. */
async function backUp(name: string): Promise<string> {
  return (await api.memory.createBackup(vmId(name), {})).id
}

async function ended(runId: string): Promise<void> {
  await expect.poll(() => api.memory.runs.get(runId)?.endedAt, { timeout: 15_000 }).not.toBeNull()
}

async function open(route = ''): Promise<void> {
  await page.goto(`${api.url}/#token=${api.token}${route === '' ? '' : `&go=${route}`}`)
  await page.getByRole('heading', { level: 1 }).waitFor()
}

async function picture(name: string): Promise<void> {
  // Nothing may stick out at the side, however narrow.
  for (const [size, viewport] of [['narrow', NARROW] as const, ['wide', WIDE] as const]) {
    await page.setViewportSize(viewport)
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(viewport.width)
    if (SCREENSHOTS === undefined) continue
    await mkdir(SCREENSHOTS, { recursive: true })
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      await page.screenshot({ path: join(SCREENSHOTS, `${name}-${size}-${colorScheme}.png`), fullPage: true })
    }
  }
}

test('the token is asked for, refused when wrong, and leaves the address when given there', async () => {
  await page.goto(`${api.url}/`)
  await page.getByLabel('Token of this Varve').fill('wrong-token')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByText('That token was refused').waitFor()
  await picture('login')
  await page.getByLabel('Token of this Varve').fill(api.token)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('heading', { name: 'Fleet' }).waitFor()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByLabel('Token of this Varve').waitFor()

  await open()
  await page.getByRole('heading', { name: 'Fleet' }).waitFor()
  expect(page.url()).not.toContain(api.token)
  // The refused requests are logged by the browser; nothing else may be.
  expect(complaints.filter(text => !text.includes('401'))).toEqual([])
})

test('the fleet lists VMs and shows a run going on, live', async () => {
  await open()
  const row = page.getByRole('row', { name: /^database-1/ })
  await row.getByText('no backup yet').waitFor()
  await page
    .getByRole('row', { name: /^turbo-1/ })
    .getByText('excluded: turbo')
    .waitFor()
  const occupied = await backUp('occupied-1')
  const run = await backUp('database-1')
  await row.getByRole('progressbar').waitFor()
  await row.getByText(/\/s/).waitFor()
  await picture('fleet-running')
  await ended(run)
  await row.getByText('succeeded').waitFor()
  await row.getByText('just now').waitFor()
  await ended(occupied)
  await page
    .getByRole('row', { name: /^occupied-1/ })
    .getByText('LEASE_OCCUPIED')
    .waitFor()
  await picture('fleet')
  expect(complaints).toEqual([])
})

test('a VM shows its layers: newest on top, kinds, reasons explained, widths by stored bytes', async () => {
  for (let i = 0; i < 3; i++) await ended(await backUp('files-1'))
  await ended((await api.memory.createBackup(vmId('files-1'), { full: true })).id)
  await open(`/vms/${vmId('files-1')}`)
  const layers = page
    .getByRole('list')
    .filter({ has: page.locator('.bar') })
    .getByRole('listitem')
    .filter({ has: page.locator('.bar') })
  await expect.poll(() => layers.count()).toBe(4)
  await layers.nth(0).getByText('full because requested').click()
  await layers.nth(0).getByText('A full was asked for.').first().waitFor()
  await layers.nth(3).getByText('full because first').click()
  await layers.nth(3).getByText('The first backup of this disk.').first().waitFor()
  await layers.nth(1).getByText('incremental').first().waitFor()
  const widths = await page
    .locator('.bar')
    .evaluateAll(bars => bars.map(bar => [...bar.children].reduce((sum, part) => sum + part.getBoundingClientRect().width, 0)))
  const stored = (await api.memory.listPoints(vmId('files-1'))).map(point => point.stored)
  const [full = 1, incremental = 0] = [widths[0], widths[1]]
  expect(incremental / full).toBeCloseTo((stored[1] ?? 0) / (stored[0] ?? 1), 1)
  await picture('vm')
  expect(complaints).toEqual([])
})

test('a run goes on before the eyes: bar, rate, remaining time, disks; cancelling ends it', async () => {
  await open(`/vms/${vmId('endless-1')}`)
  await page.getByRole('button', { name: 'Back up now' }).click()
  await page.getByRole('heading', { name: 'Backup of endless-1' }).waitFor()
  await page.getByRole('listitem').filter({ hasText: 'copying' }).and(page.locator('[aria-current=step]')).waitFor()
  const bar = page.getByRole('progressbar', { name: 'backup of endless-1' })
  await expect.poll(async () => Number(await bar.getAttribute('value'))).toBeGreaterThan(0.4)
  await page.getByText(/B\/s$/).first().waitFor()
  await page
    .getByRole('row', { name: /^virtio0/ })
    .getByText('first', { exact: true })
    .waitFor()
  await picture('run')
  await page.getByRole('button', { name: 'Cancel this run' }).click()
  await page.locator('.badge', { hasText: 'cancelled' }).waitFor()
  await page.getByText('Somebody cancelled it').waitFor()
  expect(complaints).toEqual([])
})

test('a run that failed says why and what to do; one that is not there says so', async () => {
  const run = await backUp('occupied-1')
  await ended(run)
  await open(`/runs/${run}`)
  const trouble = page.getByRole('alert')
  await trouble.getByText('LEASE_OCCUPIED').waitFor()
  await trouble.getByText('holds the VM. It is tried again later.').waitFor()
  await picture('run-failed')
  expect(complaints).toEqual([])
  await page.goto(`${api.url}/#/runs/0f8b6c1e-7d7c-4f4e-9a55-1f2f0c9b8a11`)
  await page.getByRole('alert').getByText('NOT_FOUND').waitFor()
})

test('a point is restored to a new VM from its layer', async () => {
  await ended(await backUp('damaged-1'))
  await open(`/vms/${vmId('damaged-1')}`)
  await page.locator('summary').click()
  await page.getByRole('button', { name: 'Restore to a new VM' }).click()
  await page.getByRole('heading', { name: 'Restore of damaged-1' }).waitFor()
  await page.locator('.badge', { hasText: 'succeeded-with-damage' }).waitFor()
  await page.getByText('left as a hole').first().waitFor()
  await picture('restore-damaged')
  expect(complaints).toEqual([])
})

test('the page says when it is cut off, and comes back by itself', async () => {
  await open()
  const { port } = new URL(api.url)
  const { memory } = api
  await api.close()
  await page.getByText('Cut off from Varve').waitFor()
  api = await startScriptedApi({ log: createLogger('dashboard-test', 'silent'), port: Number(port), more: { catalog: memory.catalog } })
  await page.getByText('Cut off from Varve').waitFor({ state: 'detached' })
})

test('the api documentation works under its own policy', async () => {
  await page.goto(`${api.url}/docs/`)
  await page.getByText('Back a VM up').first().waitFor()
  expect(complaints).toEqual([])
})

test('every reason for a full is explained as planning explains it', () => {
  for (const [reason, text] of Object.entries(FULL_REASONS)) expect(reasonText(reason as keyof typeof FULL_REASONS)).toBe(text)
})
