import { createHash, randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { catalogMethods } from '../catalog-methods.ts'
import { Database } from '../database.ts'
import { type DispatchSettings, dispatch, dispatchAgain } from '../dispatch/dispatcher.ts'
import { migrate } from '../migrations.ts'
import { jobId } from '../outbox.ts'
import { reconcile } from '../reconciler.ts'
import { Relay } from '../relay.ts'
import { log, PLATFORM, RecordingQueue, startTestPostgres, type TestDatabases } from '../testing/catalog-fixture.ts'
import { chooseCall, type Wish, type World, wish } from './choose-call.ts'
import { explain } from './explain.ts'
import { brokenInvariants, neededJobs, waitingInVain } from './invariants.ts'
import { type Methods, makeCall } from './make-call.ts'
import { readRows, type SeenRange } from './read-rows.ts'
import { type Call, EMPTY, type Model } from './run-model.ts'

/**
 * The real catalog on a real Postgres, called by several workers at once, with calls repeated, out of order, of runs long gone, connections
 * killed and the queue lost. After each batch: some order of its calls explains all answers and the rows (explain.ts), and the invariants hold.
 *
 * VARVE_MODEL_ROUNDS=1000 for longer, VARVE_MODEL_SEED to see one again (as far as the timing of a database can be).
 */

const ROUNDS = Number(process.env.VARVE_MODEL_ROUNDS ?? 0)
const SEED = Number(process.env.VARVE_MODEL_SEED ?? Math.floor(Math.random() * 2 ** 31))
const BUDGET_MS = 20_000
const WINDOW = 2
const DISPATCH: DispatchSettings = { window: WINDOW, queueWindow: 1000, silenceS: 0, slowS: 0 }

let databases: TestDatabases
/** The catalog's own connections, and one past it. */
let db: Database
let inside: Database
let methods: Methods
beforeAll(async () => {
  databases = await startTestPostgres()
  const url = await databases.create()
  await migrate(url, log)
  db = new Database(url, 6, log)
  inside = new Database(`${url}&application_name=inside`, 1, log)
  methods = catalogMethods(db)
})
afterAll(async () => {
  await db?.close()
  await inside?.close()
  await databases?.close()
})

/** What was seen, over all rounds: a property that never gets anywhere proves nothing. */
const seen = new Map<string, number>()
const count = (what: string): void => void seen.set(what, (seen.get(what) ?? 0) + 1)

class RealCatalog {
  readonly vms: readonly string[]
  readonly name = randomUUID()
  readonly queue = new RecordingQueue()
  readonly relay = new Relay(db, this.queue, log)
  model: Model = EMPTY
  ranges: readonly SeenRange[] = []
  released: ReadonlySet<string> = new Set()

  constructor(vms: readonly string[]) {
    this.vms = vms
  }

  static async open(): Promise<RealCatalog> {
    const platform = await methods.addPlatform({ ...PLATFORM, name: randomUUID() })
    const vms = ['a', 'b'].map(name => ({ platformVmId: name, name, power: 'on', exclusions: [], disks: [] }))
    await methods.reportVms(platform.id, vms)
    const listed = await inside.query<{ id: string }>(`select id from varve.vms where platform_id = $1`, [platform.id])
    return new RealCatalog(listed.rows.map(row => row.id))
  }

  get world(): World {
    return {
      ...this,
      pointOf: (run, n) =>
        createHash('sha256')
          .update(`${run} ${n}`)
          .digest('hex')
          .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*/, '$1-$2-$3-$4-$5'),
    }
  }

  async batch(calls: readonly Call[], { kill, giveOut }: Circumstances): Promise<void> {
    const before = this.model
    const answers = Promise.all(calls.map(call => makeCall(methods, call)))
    // The dispatcher of another instance, at the same time: what it gives out the model leaves open.
    const dispatched = giveOut ? dispatch(db, DISPATCH, 'runs').catch(() => {}) : null
    if (kill) await killConnections()
    const made = await answers
    await dispatched
    await this.look()
    const list = calls.map((call, i) => ({ call, answer: made[i]!, newId: newId(call, made[i]!, this.model) }))
    for (const { call, answer } of list) count(`${call.call} ${answer.replace(/ok [0-9a-f-]{24,36}/, 'ok')}`)
    if (explain(before, list, this.model) === null) {
      const told = JSON.stringify({ before, calls: list, after: this.model }, null, 1)
      expect.fail(`no order of these calls explains their answers and the rows\n${told}`)
    }
    this.stays(before)
    await this.invariants()
  }

  async look(): Promise<void> {
    Object.assign(this, await readRows(inside, this.vms))
    for (const run of Object.values(this.model.runs)) count(`${run.kind} ${run.state}`)
  }

  /** Settled once is settled for good, whatever the model thinks of it. */
  stays(before: Model): void {
    for (const [id, run] of Object.entries(before.runs)) {
      const now = this.model.runs[id]!
      if (run.outcome !== null) expect(now.outcome, `outcome of ${id}`).toBe(run.outcome)
      for (const [disk, image] of Object.entries(run.images)) {
        for (const [index, { report }] of Object.entries(image.ranges)) {
          if (report !== null) expect(now.images[disk]?.ranges[Number(index)]?.report, `report of ${id} ${disk} ${index}`).toBe(report)
        }
      }
    }
  }

  /** Jobs that wait in the outbox or were brought to the queue; a queue that lost everything is helped by the reconciler. */
  async invariants(): Promise<void> {
    expect(await brokenInvariants(inside, this.vms, WINDOW)).toEqual([])
    const waiting = await inside.query<Parameters<typeof jobId>[0] & Record<string, unknown>>(
      `select o.job, o.run_id, o.range_id, o.number from varve.outbox o join varve.runs r on r.id = o.run_id where r.vm_id = any ($1)`,
      [this.vms],
    )
    const due = new Set([...waiting.rows.map(jobId), ...this.queue.ids()])
    const needed = await neededJobs(inside, this.vms)
    expect(
      needed.filter(id => !due.has(id)),
      'jobs that nobody will do',
    ).toEqual([])
  }

  async giveOut(): Promise<void> {
    await dispatch(db, DISPATCH, 'runs')
    expect(await waitingInVain(inside, this.vms, WINDOW), 'runs that wait although there is room').toEqual([])
    await dispatchAgain(db, DISPATCH)
  }

  async relayJobs(fault: boolean): Promise<void> {
    this.queue.fault = fault ? new Error('the queue is away') : null
    await this.relay.relayBatch().catch(() => {})
    this.queue.fault = null
  }

  async loseQueue(): Promise<void> {
    this.queue.added.length = 0
    await reconcile(db, { silenceS: 0 })
  }

  /** So that the next round finds a quiet database. */
  async end(): Promise<void> {
    for (const [id, run] of Object.entries(this.model.runs)) {
      if (run.state === run.outcome) continue
      await methods.failRun(id, { code: 'END', message: 'end', retryable: false })
      await methods.recordResources(id, { leaseId: null, snapshotId: null, snapshotName: null })
      await methods.closeRun(id)
    }
    await inside.query(`delete from varve.outbox`)
  }
}

/** The run or the attempt that a call made, also where its answer was lost. */
function newId(call: Call, answer: string, after: Model): string {
  if (answer.startsWith('ok ') && answer !== 'ok null') return answer.slice(3)
  if ('key' in call) return after.keys[call.key]?.run ?? 'none'
  if (call.call !== 'takeRange') return 'none'
  const made = Object.entries(after.attempts).find(([, attempt]) => {
    return attempt.image === call.image && attempt.index === call.index && attempt.worker === call.worker
  })
  return made?.[0] ?? 'none'
}

/** Some of the catalog's connections, in the middle of whatever they do. */
async function killConnections(): Promise<void> {
  await new Promise(resolve => setTimeout(resolve, Math.random() * 4))
  await inside.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'varve-catalog' and datname = current_database() and random() < 0.5`,
  )
}

/** What goes on beside the calls. */
interface Circumstances {
  readonly kill: boolean
  readonly giveOut: boolean
}

class Batch implements fc.AsyncCommand<object, RealCatalog> {
  readonly wishes: readonly Wish[]
  readonly repeats: readonly number[]
  readonly circumstances: Circumstances
  #calls: readonly Call[] = []

  constructor(wishes: readonly Wish[], repeats: readonly number[], circumstances: Circumstances) {
    this.wishes = wishes
    this.repeats = repeats
    this.circumstances = circumstances
  }

  check(): boolean {
    return true
  }

  async run(_: object, real: RealCatalog): Promise<void> {
    const { world } = real
    const calls = this.wishes.map(each => chooseCall(each, world)).filter(call => call !== null)
    if (calls.length === 0) return
    // Delivered twice, or asked for again after a lost answer.
    this.#calls = [...calls, ...this.repeats.map(n => calls[n % calls.length]!)]
    await real.batch(this.#calls, this.circumstances)
  }

  toString(): string {
    return `Batch(${this.circumstances.kill ? 'kill, ' : ''}${JSON.stringify(this.#calls)})`
  }
}

class Event implements fc.AsyncCommand<object, RealCatalog> {
  readonly kind: 'relay' | 'relay fails' | 'queue lost' | 'dispatch'

  constructor(kind: Event['kind']) {
    this.kind = kind
  }

  check(): boolean {
    return true
  }

  async run(_: object, real: RealCatalog): Promise<void> {
    if (this.kind === 'queue lost') await real.loseQueue()
    else if (this.kind === 'dispatch') await real.giveOut()
    else await real.relayJobs(this.kind === 'relay fails')
    await real.look()
    await real.invariants()
  }

  toString(): string {
    return this.kind
  }
}

const batches = fc
  .tuple(fc.array(wish, { minLength: 1, maxLength: 4 }), fc.array(fc.nat(3), { maxLength: 1 }), fc.nat(19), fc.boolean())
  .map(([wishes, repeats, kill, giveOut]) => new Batch(wishes, repeats, { kill: kill === 0, giveOut }))
const events = fc
  .constantFrom<Event['kind'][]>('relay', 'relay', 'relay fails', 'queue lost', 'dispatch', 'dispatch')
  .map(kind => new Event(kind))
const commands = fc.commands<object, RealCatalog, false>([batches, batches, batches, batches, batches, events], {
  maxCommands: 120,
  size: 'max',
})

/** Runs from beginning to end, each by its own worker alone, the last of them ended by a call of these kinds. */
async function whole(endings: readonly Call['call'][]): Promise<void> {
  const real = await RealCatalog.open()
  const next = (n: number, kind: Wish['kind'] = 'next') => new Batch([{ kind, vm: 0, n, m: 0 }], [], { kill: false, giveOut: true })
  for (let n = 1; n <= 60 && Object.keys(real.model.points).length === 0; n++) await next(8 * n + 1).run({}, real)
  for (const kind of endings) {
    for (const step of [next(1), next(1), next(1, kind), next(1)]) await step.run({}, real)
    await real.end()
  }
}

test('whatever several workers call at once, the catalog answers as if one after the other, and no invariant breaks', {
  timeout: ROUNDS > 0 ? 24 * 3_600_000 : 60_000,
}, async () => {
  console.log(`seed ${SEED}`)
  // However slow the machine: a whole run, and one that fails.
  await whole(['cancelRun', 'failRun'])
  await fc.assert(
    fc.asyncProperty(commands, async list => {
      const real = await RealCatalog.open()
      try {
        await fc.asyncModelRun(() => ({ model: {}, real }), list)
      } finally {
        await real.end()
      }
    }),
    {
      seed: SEED,
      numRuns: ROUNDS > 0 ? ROUNDS : 1000,
      ...(ROUNDS > 0 ? {} : { interruptAfterTimeLimit: BUDGET_MS, markInterruptAsFailure: false }),
    },
  )
  if (process.env.VARVE_MODEL_TELL === '1')
    console.log(
      [...seen]
        .toSorted()
        .map(([what, n]) => `${n}\t${what}`)
        .join('\n'),
    )
  const reached = ['preparing', 'copying', 'sealing', 'finishing', 'succeeded', 'failed', 'cancelled'].map(state => `backup ${state}`)
  expect([...seen.keys()]).toEqual(expect.arrayContaining(reached))
})
