/**
 * How far a long job has come: a line that redraws itself while `live`, and a summary at the end in
 * any case.
 */
import type { CliOutput } from './cli-io.ts'

const REDRAW_MS = 250
const CLEAR_LINE = '\r\x1b[K'

export interface ProgressFigures {
  readonly rows: number
  readonly bytes: number
  readonly seconds: number
  readonly rowsPerSecond: number
}

export class Progress {
  rows = 0
  bytes = 0
  #output: CliOutput
  #verb: string
  /** Of the whole job; undefined when that is not known. */
  #bytesTotal: number | undefined
  #startedMs = performance.now()
  #timer: NodeJS.Timeout | undefined

  constructor(output: CliOutput, verb: string, bytesTotal: number | undefined, live: boolean) {
    this.#output = output
    this.#verb = verb
    this.#bytesTotal = bytesTotal
    if (live) {
      this.#timer = setInterval(() => output.write(`\r${this.#fitting()}\x1b[K`), REDRAW_MS)
    }
  }

  /** A line that wraps cannot be redrawn, and one that ends in the last column may wrap. */
  #fitting(): string {
    // 0 is what a terminal says that does not know.
    const { columns = 0 } = this.#output
    return columns === 0 ? this.#line() : this.#line().slice(0, columns - 1)
  }

  #line(): string {
    const seconds = this.#seconds()
    const rate = this.rows / seconds
    const parts = [formatCount(this.rows, 'row'), `${formatNumber(rate)} rows/s`]
    const total = this.#bytesTotal
    if (total === undefined || total === 0) {
      parts.push(formatBytes(this.bytes))
    } else {
      const share = Math.min(1, this.bytes / total)
      parts.push(`${formatBytes(this.bytes)} of ${formatBytes(total)}`)
      parts.push(`${Math.floor(share * 100)}%`)
      if (share > 0) parts.push(`${formatSeconds((seconds * (1 - share)) / share)} left`)
    }
    return parts.join('  ')
  }

  #seconds(): number {
    return Math.max(performance.now() - this.#startedMs, 1) / 1000
  }

  /** Takes the line away again. Idempotent. */
  stop(): void {
    if (this.#timer === undefined) return
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#output.write(CLEAR_LINE)
  }

  figures(): ProgressFigures {
    const seconds = this.#seconds()
    const { rows, bytes } = this
    return { rows, bytes, seconds, rowsPerSecond: rows / seconds }
  }

  finish(remarks: readonly string[] = []): void {
    this.stop()
    const { seconds, rowsPerSecond } = this.figures()
    const rate = `${formatNumber(rowsPerSecond)} rows/s`
    const main = `${this.#verb} ${formatCount(this.rows, 'row')} (${formatBytes(this.bytes)})`
    const summary = [`${main} in ${formatSeconds(seconds)}, ${rate}`, ...remarks].join('; ')
    this.#output.write(`${summary}\n`)
  }
}

function formatNumber(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}

export function formatCount(count: number, noun: string): string {
  return `${formatNumber(count)} ${noun}${count === 1 ? '' : 's'}`
}

const UNITS = ['KiB', 'MiB', 'GiB', 'TiB']

export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`
  let value = bytes / 1024
  let unit = 0
  while (value >= 1024 && unit + 1 < UNITS.length) {
    value /= 1024
    unit++
  }
  return `${value.toFixed(1)} ${UNITS[unit]}`
}

export function formatSeconds(exactly: number): string {
  if (exactly < 9.95) return `${exactly.toFixed(1)} s`
  // Rounded first: a rest of 59.6 s is a minute, not 60 s.
  const seconds = Math.round(exactly)
  if (seconds < 120) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 120) return `${minutes} min ${seconds % 60} s`
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}
