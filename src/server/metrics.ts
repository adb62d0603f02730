/** Prometheus text: the store's own figures, and the process's through prom-client. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Gauge, Registry } from 'prom-client'

/** Coarse, so that an idle process stays idle. */
const DELAY_RESOLUTION_MS = 50

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

type Reading = readonly [name: string, help: string, read: () => number]

/** Memory, CPU and event-loop delay of this process. Delays are of the time since the last reading. */
export class ProcessMetrics {
  readonly #registry = new Registry()
  readonly #delay = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS })

  constructor() {
    this.#delay.enable()
    for (const [name, help, read] of this.#readings()) {
      const collect = function (this: Gauge): void {
        this.set(read())
      }
      this.#registry.registerMetric(new Gauge({ name, help, registers: [], collect }))
    }
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  async text(): Promise<string> {
    const text = await this.#registry.metrics()
    this.#delay.reset()
    return text
  }

  close(): void {
    this.#delay.disable()
  }

  #readings(): readonly Reading[] {
    const startedAtS = Date.now() / 1000 - process.uptime()
    const memory = process.memoryUsage
    const delay = this.#delay
    return [
      ['process_start_time_seconds', 'Unix time of the start.', () => startedAtS],
      ['process_cpu_seconds', 'User and system CPU time.', cpuSeconds],
      ['process_resident_memory_bytes', 'Resident memory.', () => memory.rss()],
      ['nodejs_heap_used_bytes', 'JavaScript heap in use.', () => memory().heapUsed],
      ['nodejs_heap_size_bytes', 'JavaScript heap.', () => memory().heapTotal],
      ['nodejs_external_memory_bytes', 'Buffers and native memory.', () => memory().external],
      ['nodejs_eventloop_delay_p50_seconds', 'Median delay.', () => late(delay.percentile(50))],
      ['nodejs_eventloop_delay_p99_seconds', '99th percentile.', () => late(delay.percentile(99))],
      ['nodejs_eventloop_delay_max_seconds', 'Longest delay.', () => late(delay.max)],
    ]
  }
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

/** The monitor measures from timer to timer; only what is above its interval is delay. */
function late(intervalNs: number): number {
  return Math.max(0, intervalNs / 1e9 - DELAY_RESOLUTION_MS / 1000)
}
