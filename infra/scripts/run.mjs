/**
 * The one door of the root scripts: `npm run demo`, `npm test`, `npm run build|lint|check|bench|scale`.
 *
 * A fresh machine has Node and npm and nothing else. This fetches the pinned pnpm, installs from the lockfile, builds, and then
 * runs what was asked for. Every step is quiet when it goes well and shows its whole output when it does not.
 * Plain JavaScript that old Node versions can parse, so that they get the clear line below and not a syntax error.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const pnpmVersion = manifest.packageManager.split('@')[1]
const [task, ...args] = process.argv.slice(2)

/** Say it in one line and stop. */
function fail(line) {
  console.error(line)
  process.exit(1)
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > 20 || (major === 20 && minor >= 19)) return
  fail(`Varve needs Node ${manifest.engines.node}; this is ${process.versions.node}. Install Node 24 (or 22, or 20.19) and run this again.`)
}

/** Run quietly; on failure show everything it printed, then one line that says what to do. */
function quietly(label, command, commandArgs, advice, env = process.env) {
  const started = Date.now()
  const result = spawnSync(command, commandArgs, { cwd: root, env, encoding: 'utf8', maxBuffer: 1 << 28 })
  if (result.status !== 0) {
    process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}`)
    fail(`${label} failed${result.error ? ` (${result.error.message})` : ''}: ${advice}`)
  }
  const seconds = (Date.now() - started) / 1000
  if (seconds > 2) console.error(`${label}: ${seconds.toFixed(1)} s`)
  return result.stdout
}

/** The pinned pnpm: from the tools folder of the checkout, fetched there once with npm. */
function pnpm() {
  const tools = join(root, '.varve', 'tools')
  const bin = join(tools, 'node_modules', '.bin', process.platform === 'win32' ? 'pnpm.cmd' : 'pnpm')
  const installed = join(tools, 'node_modules', 'pnpm', 'package.json')
  if (!existsSync(installed) || JSON.parse(readFileSync(installed, 'utf8')).version !== pnpmVersion) {
    mkdirSync(tools, { recursive: true })
    quietly(
      'fetching pnpm',
      'npm',
      ['install', '--prefix', tools, '--no-save', '--no-audit', '--no-fund', '--loglevel=error', `pnpm@${pnpmVersion}`],
      'npm could not fetch the pinned pnpm; check the network and the npm registry setting, then run this again.',
    )
  }
  return bin
}

function install() {
  const env = { ...process.env, CI: 'true' }
  // Node's own headers, where the distribution ships them, so that the optional native zstd builds without a download.
  const prefix = dirname(dirname(process.execPath))
  if (existsSync(join(prefix, 'include', 'node', 'node_version.h'))) env.npm_config_nodedir = prefix
  quietly('installing', pnpm(), ['install', '--frozen-lockfile'], 'the packages could not be installed; see the lines above.', env)
  noteCompression()
}

/** Say it when the fast codec is missing; nothing fails without it. */
function noteCompression() {
  const require = createRequire(join(root, 'packages', 'repository', 'package.json'))
  if ('zstdCompressSync' in require('node:zlib')) return
  try {
    require('zstd-napi')
  } catch {
    console.error(
      'zstd is not available (its native part did not build): lz4 is used. For zstd use Node >= 22.15, or install g++, make and python3 and run this again.',
    )
  }
}

const tool = name => join(root, 'node_modules', '.bin', name)

function build() {
  quietly(
    'compiling',
    tool('tsc'),
    ['-b', ...(args.includes('--force') ? ['--force'] : [])],
    'the sources do not type-check; see the lines above.',
  )
  if (dashboardIsStale()) {
    quietly(
      'building the dashboard',
      pnpm(),
      ['--filter', '@varve/dashboard', 'run', 'build'],
      'the dashboard did not build; see the lines above.',
    )
  }
}

function newest(folder) {
  let time = 0
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) time = Math.max(time, statSync(join(entry.parentPath ?? entry.path, entry.name)).mtimeMs)
  }
  return time
}

function dashboardIsStale() {
  const index = join(root, 'services', 'dashboard', 'dist', 'index.html')
  return !existsSync(index) || statSync(index).mtimeMs < newest(join(root, 'services', 'dashboard', 'src'))
}

/** Hand the terminal over and end with the child's exit code. */
function become(command, commandArgs) {
  // Ctrl-C goes to the child, which closes what it opened; this process then ends with its code.
  process.on('SIGINT', () => {})
  process.on('SIGTERM', () => {})
  const result = spawnSync(command, commandArgs, { cwd: root, stdio: 'inherit' })
  process.exit(result.status ?? 1)
}

function lint() {
  const result = spawnSync(tool('biome'), ['check', '--error-on-warnings', '.'], { cwd: root, stdio: 'inherit' })
  if (result.status !== 0) fail('lint failed: `npm run format` mends what can be mended by itself.')
}

const TASKS = {
  demo: () => become(process.execPath, [join(root, 'packages', 'cli', 'bin', 'varve.mjs'), 'demo', ...args]),
  cluster: () => become(process.execPath, [join(root, 'packages', 'cli', 'bin', 'varve.mjs'), 'cluster', ...args]),
  test: () => become(tool('vitest'), ['run', ...args]),
  faults: () => become(process.execPath, [join(root, 'test', 'dist', 'fault', 'main.js'), ...args]),
  bench: () => become(process.execPath, [join(root, 'test', 'dist', 'bench', 'bench.js'), ...args]),
  scale: () => become(process.execPath, [join(root, 'test', 'dist', 'bench', 'scale', 'scale.js'), ...args]),
  build: () => {},
  lint,
  /** What .ci/run calls: everything that must be green. */
  check: () => {
    lint()
    TASKS.test()
  },
}

checkNode()
if (!(task in TASKS)) fail(`usage: npm run ${Object.keys(TASKS).join('|')}`)
install()
build()
TASKS[task]()
