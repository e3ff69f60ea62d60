import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { sleep } from './sleep.ts'

/** How long one value may take to be looked up, ms. */
const READ_MS = 2000

/** One value with its labels. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/**
 * The metrics of one process, in Prometheus' text format. Names begin with `varve_`, units are bytes and seconds, labels have a small fixed
 * set of values: never an id. Asking twice for a name gives the same metric, so that services that share a process share it.
 */
export class Metrics {
  readonly #registry = new Registry()

  /** With those of Node itself (memory, event loop, garbage collection), under the label `service`. */
  static ofProcess(service: string): Metrics {
    const metrics = new Metrics()
    metrics.#registry.setDefaultLabels({ service })
    collectDefaultMetrics({ register: metrics.#registry })
    return metrics
  }

  counter<Label extends string>(name: string, help: string, labelNames: readonly Label[]): Counter<Label> {
    return this.#existing<Counter<Label>>(name) ?? new Counter({ name, help, labelNames, registers: [this.#registry] })
  }

  histogram<Label extends string>(name: string, help: string, labelNames: readonly Label[], buckets: readonly number[]): Histogram<Label> {
    return (
      this.#existing<Histogram<Label>>(name) ??
      new Histogram({ name, help, labelNames, buckets: [...buckets], registers: [this.#registry] })
    )
  }

  /** A value that is looked up whenever somebody reads the metrics; without an answer it is left out. */
  gauge<Label extends string>(name: string, help: string, labelNames: readonly Label[], read: () => Promise<readonly Sample[]>): void {
    if (this.#existing(name) !== undefined) return
    new Gauge({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      async collect() {
        const late = sleep(READ_MS).then(() => [])
        const samples = await Promise.race([read(), late]).catch(() => [])
        this.reset()
        // Without labels a reset leaves a 0, which would be said though nobody knows.
        if (labelNames.length === 0) this.remove()
        for (const { labels, value } of samples) this.set({ ...labels } as Record<Label, string>, value)
      },
    })
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  text(): Promise<string> {
    return this.#registry.metrics()
  }

  #existing<Metric>(name: string): Metric | undefined {
    return this.#registry.getSingleMetric(name) as Metric | undefined
  }
}
