/** What every suite prints: one JSON object a line for machines, a table for people. */
import { cpus, totalmem } from 'node:os'
import { onOutputError } from './scratch.ts'

export interface BenchRow {
  readonly suite: string
  readonly case: string
  readonly system: string
  readonly opsPerSec: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly n: number
  readonly config: Readonly<Record<string, unknown>>
}

const COLUMNS = ['case', 'system', 'ops/s', 'p50 ms', 'p99 ms', 'n', 'config'] as const

export class BenchReport {
  readonly #json: boolean
  readonly #rows: BenchRow[] = []
  #saidMachine = false

  constructor(json: boolean) {
    this.#json = json
    for (const stream of [process.stdout, process.stderr]) stream.on('error', onOutputError)
  }

  add(row: BenchRow): void {
    if (this.#json) process.stdout.write(`${JSON.stringify(row)}\n`)
    else this.#rows.push(row)
  }

  /** Something to know beside the rows; goes to stderr, so that JSON output stays clean. */
  note(text: string): void {
    if (!this.#saidMachine) process.stderr.write(`${machineLine()}\n`)
    this.#saidMachine = true
    process.stderr.write(`${text}\n`)
  }

  /** Prints the table; nothing more for JSON. */
  finish(): void {
    if (this.#json || this.#rows.length === 0) return
    const cells = [[...COLUMNS], ...this.#rows.map(rowCells)]
    const widths = COLUMNS.map((_, i) => Math.max(...cells.map((row) => row[i]!.length)))
    for (const row of cells) {
      const line = row.map((cell, i) =>
        isFigure(i) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!),
      )
      process.stdout.write(`${line.join('  ').trimEnd()}\n`)
    }
    this.#rows.length = 0
  }
}

function machineLine(): string {
  const processors = cpus()
  const memory = (totalmem() / 1024 ** 3).toFixed(0)
  const model = processors[0]?.model ?? 'unknown processor'
  return `machine: ${processors.length} × ${model}, ${memory} GiB, Node ${process.version}`
}

function rowCells(row: BenchRow): string[] {
  return [
    row.case,
    row.system,
    Math.round(row.opsPerSec).toLocaleString('en-US'),
    row.p50Ms.toFixed(2),
    row.p99Ms.toFixed(2),
    row.n.toLocaleString('en-US'),
    Object.entries(row.config)
      .map(([name, value]) => `${name}=${String(value)}`)
      .join(' '),
  ]
}

function isFigure(column: number): boolean {
  return column >= 2 && column <= 5
}
