/** Prometheus text: the store's own figures, and the process's through prom-client. */
import { collectDefaultMetrics, Registry } from 'prom-client'

/** Coarse, so that an idle process stays idle. */
const EVENT_LOOP_PRECISION_MS = 100

/** Text exposition of figures by name; names that end in `_total` are counters. */
export function formatMetrics(metrics: Readonly<Record<string, number>>): string {
  let text = ''
  for (const name of Object.keys(metrics).toSorted()) {
    const metric = `polyraft_${name.replace(/[^a-zA-Z0-9_]/g, '_')}`
    const type = metric.endsWith('_total') ? 'counter' : 'gauge'
    text += `# TYPE ${metric} ${type}\n${metric} ${formatNumber(metrics[name]!)}\n`
  }
  return text
}

function formatNumber(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf'
  return value === Number.NEGATIVE_INFINITY ? '-Inf' : String(value)
}

/** Memory, CPU, garbage collection and event-loop delay of this process. */
export class ProcessMetrics {
  readonly #registry = new Registry()

  constructor() {
    collectDefaultMetrics({
      register: this.#registry,
      eventLoopMonitoringPrecision: EVENT_LOOP_PRECISION_MS,
    })
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  text(): Promise<string> {
    return this.#registry.metrics()
  }
}
