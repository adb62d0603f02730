/** Prometheus text: the store's own figures, and the process's through prom-client. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Counter, Gauge, Registry } from 'prom-client'

/** Coarse, so that an idle process stays idle. */
const DELAY_RESOLUTION_MS = 50

/**
 * Figures of a store that only grow, which a store tells by their plain names. Prometheus wants to
 * see in the name that a figure is to be read through rate().
 */
const COUNTERS: ReadonlySet<string> = new Set([
  'applied_entries',
  'committed_entries',
  'compacted_entries',
  'index_reads',
  'leader_changes',
  'lease_reads',
  'orders_refused',
  'orders_taken',
  'peer_changes_applied',
  'peer_changes_proposed',
  'peers_created',
  'peers_destroyed',
  'peers_initialised',
  'proposals',
  'proposed_bytes',
  'proposed_commands',
  'raft_messages_dropped',
  'raft_messages_dropped_disk_full',
  'raft_messages_received',
  'raft_messages_sent',
  'raftlog_fetches',
  'raftlog_groups',
  'raftlog_rounds',
  'raftlog_segments_purged',
  'raftlog_written_bytes',
  'read_index_rounds',
  'readies',
  'refused',
  'rocksdb_sequence',
  'snapshots_build_failures',
  'snapshots_build_seconds',
  'snapshots_built',
  'snapshots_built_bytes',
  'snapshots_files_collected',
  'snapshots_install_failures',
  'snapshots_install_seconds',
  'snapshots_installed',
  'snapshots_installed_bytes',
  'snapshots_offers_refused',
  'snapshots_receive_failures',
  'snapshots_receive_seconds',
  'snapshots_received',
  'snapshots_received_bytes',
  'snapshots_refused_disk_full',
  'snapshots_send_failures',
  'snapshots_send_seconds',
  'snapshots_sent',
  'snapshots_sent_bytes',
  'stale',
  'stranded',
  'tombstone_messages_sent',
  'hibernations',
  'wake_ups',
  'write_waves',
  'write_waves_joined',
  'write_waves_late',
])

/** Text exposition of figures by name; those that end in `_total` are counters as well. */
export function formatMetrics(metrics: Readonly<Record<string, number>>): string {
  let text = ''
  for (const name of Object.keys(metrics).toSorted()) {
    const plain = `polyraft_${name.replace(/[^a-zA-Z0-9_]/g, '_')}`
    const metric = COUNTERS.has(name) ? `${plain}_total` : plain
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
    this.#registry.registerMetric(cpuCounter())
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

function cpuCounter(): Counter {
  let toldSeconds = 0
  return new Counter({
    name: 'process_cpu_seconds_total',
    help: 'User and system CPU time.',
    registers: [],
    collect() {
      const seconds = cpuSeconds()
      this.inc(seconds - toldSeconds)
      toldSeconds = seconds
    },
  })
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

/** The monitor measures from timer to timer; only what is above its interval is delay. */
function late(intervalNs: number): number {
  return Math.max(0, intervalNs / 1e9 - DELAY_RESOLUTION_MS / 1000)
}
