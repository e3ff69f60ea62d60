import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { connectNbd, type NbdClient } from '@varve/nbd'
import { workerFile } from '@varve/runtime'
import type { StepName } from '../step.ts'
import type { ChildRequest } from './crash-child.ts'

/** The crash child seen from the parent. After its death every call fails. */
export class CrashProcess {
  readonly socket: string
  readonly exited: Promise<void>
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>()
  readonly #clients: NbdClient[] = []
  #ids = 0
  #dead = false
  #end = ''

  private constructor(child: ChildProcess, socket: string) {
    this.#child = child
    this.socket = socket
    this.exited = new Promise(resolve => {
      child.once('exit', (code, signal) => {
        this.#dead = true
        this.#end = signal ?? `exit code ${code}`
        for (const { reject } of this.#waiting.values()) reject(new Error('the child is dead'))
        this.#waiting.clear()
        resolve()
      })
    })
  }

  /** Start the child; undefined when it died before it was ready (a step inside `open`). */
  static async start(folder: string, crash?: { readonly step: StepName; readonly nth: number }): Promise<CrashProcess | undefined> {
    const script = fileURLToPath(workerFile(import.meta.url, './crash-child.js'))
    const socket = `${folder}/nbd.sock`
    const args = [script, `${folder}/store`, socket, ...(crash === undefined ? [] : [crash.step, String(crash.nth)])]
    const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    child.stdin!.on('error', () => {})
    const process_ = new CrashProcess(child, socket)
    const ready = new Promise<boolean>(resolve => {
      createInterface({ input: child.stdout! }).on('line', line => {
        const message = JSON.parse(line) as { ready?: boolean; id: number; result: never; error?: string }
        if (message.ready) resolve(true)
        const waiting = process_.#waiting.get(message.id)
        process_.#waiting.delete(message.id)
        if (message.error === undefined) waiting?.resolve(message.result)
        else waiting?.reject(Object.assign(new Error(message.error), { code: message.error }))
      })
      void process_.exited.then(() => resolve(false))
    })
    if (await ready) return process_
    if (process_.#end !== 'SIGKILL') throw new Error(`the child could not start: ${process_.#end}`)
    return undefined
  }

  get dead(): boolean {
    return this.#dead
  }

  call<T>(request: ChildRequest): Promise<T> {
    const id = ++this.#ids
    return new Promise<T>((resolve, reject) => {
      if (this.#dead) return reject(new Error('the child is dead'))
      this.#waiting.set(id, { resolve: resolve as (value: never) => void, reject })
      this.#child.stdin!.write(`${JSON.stringify({ id, request })}\n`)
    })
  }

  async connect(exportName: string): Promise<NbdClient> {
    const client = await connectNbd({ path: this.socket, exportName })
    this.#clients.push(client)
    return client
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.exited
    for (const client of this.#clients) await client.close().catch(() => {})
  }

  /** Let it close its datastore in good order. */
  async stop(): Promise<void> {
    for (const client of this.#clients) await client.close().catch(() => {})
    await this.call({ op: 'close' })
    this.#child.stdin!.end()
    await this.exited
  }
}
