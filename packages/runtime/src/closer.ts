/** Something that was opened and must be closed. */
export type Close = () => void | Promise<void>

/**
 * What a process opened, closed in the reverse order, also when a later opening fails.
 *
 *     const closer = new Closer()
 *     try { … closer.add('catalog', () => catalog.close()) … } catch (e) { await closer.close(); throw e }
 */
export class Closer {
  readonly #opened: { name: string; close: Close }[] = []
  #closing: Promise<void> | undefined

  /** What is opened while closing is under way (a start that was interrupted) is closed at once. */
  add(name: string, close: Close): void {
    if (this.#closing === undefined) this.#opened.push({ name, close })
    else void Promise.resolve(close()).catch(() => {})
  }

  /** Close everything, newest first. One failing does not keep the others open; the failures are thrown together. */
  close(): Promise<void> {
    this.#closing ??= this.#closeAll()
    return this.#closing
  }

  async #closeAll(): Promise<void> {
    const failures: unknown[] = []
    for (const { name, close } of this.#opened.reverse()) {
      try {
        await close()
      } catch (cause) {
        failures.push(new Error(`closing ${name} failed`, { cause }))
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, 'not everything closed cleanly')
  }
}
