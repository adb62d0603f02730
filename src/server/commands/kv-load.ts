/**
 * `polyraft kv load`: a file of rows into the cluster, streaming. Rows gather into batches, a bounded
 * number of which are under way, so memory does not grow with the file. A key that comes twice is
 * written in the order of the file: a batch waits while one before it holds the same key.
 */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { errorMessage, PolyraftError, systemErrorCode } from '../../base/errors.ts'
import { ENTRY_BYTES_MAX, KEY_BYTES_MAX, MIB } from '../../base/limits.ts'
import type { KvClient } from '../../client/kv-client.ts'
import type { CliIo } from '../cli/cli-io.ts'
import type { Encoding } from '../cli/encoding.ts'
import { LineSplitter } from '../cli/line-splitter.ts'
import { print } from '../cli/output.ts'
import { formatCount, Progress } from '../cli/progress.ts'
import { parseRow, type RowFormat } from '../cli/row-format.ts'

const BATCH_ROWS = 2048
const BATCH_BYTES = MIB
/** The longest row there can be, with six characters for each of its bytes. */
const LINE_BYTES_MAX = (KEY_BYTES_MAX + ENTRY_BYTES_MAX) * 6 + 1024
const READ_BYTES = MIB

export interface LoadOptions {
  readonly format: RowFormat
  readonly encoding: Encoding
  /** The summary as a JSON object on stdout. */
  readonly json: boolean
  readonly onError: 'stop' | 'skip'
  readonly concurrency: number
  readonly cf: string
}

export async function loadFile(
  io: CliIo,
  kv: KvClient,
  file: string,
  options: LoadOptions,
): Promise<void> {
  const { stream, bytesTotal } = await openInput(io, file)
  const progress = new Progress(io.stderr, 'loaded', bytesTotal, io.stderr.isTTY === true)
  const loader = new Loader(kv, options, progress)
  try {
    await loader.run(stream)
  } finally {
    progress.stop()
    stream.destroy()
  }
  if (!options.json) progress.finish(loader.remarks())
  else {
    const summary = { ...progress.figures(), ...loader.skipped }
    await print(io.stdout, `${JSON.stringify(summary)}\n`)
  }
}

async function openInput(
  io: CliIo,
  file: string,
): Promise<{ stream: Readable; bytesTotal: number | undefined }> {
  if (file === '-') return { stream: io.stdin, bytesTotal: undefined }
  try {
    const found = await stat(file)
    if (found.isDirectory()) throw new Error('it is a directory')
    const stream = createReadStream(file, { highWaterMark: READ_BYTES })
    return { stream, bytesTotal: found.size }
  } catch (error) {
    throw unreadable(file, error)
  }
}

function unreadable(file: string, error: unknown): PolyraftError {
  const why = systemErrorCode(error) === 'ENOENT' ? 'it does not exist' : errorMessage(error)
  return new PolyraftError('NotFound', `cannot read ${file}: ${why}`, { file }, { cause: error })
}

class Loader {
  #kv: KvClient
  #options: LoadOptions
  #progress: Progress
  #splitter = new LineSplitter(LINE_BYTES_MAX)
  #batch: (readonly [Buffer, Buffer])[] = []
  #batchBytes = 0
  #inFlight = new Set<Promise<void>>()
  /** Keys of the batches under way. */
  #keys = new Set<string>()
  #error: Error | undefined = undefined
  #skipped = 0
  #firstSkipped = ''

  constructor(kv: KvClient, options: LoadOptions, progress: Progress) {
    this.#kv = kv
    this.#options = options
    this.#progress = progress
  }

  async run(stream: Readable): Promise<void> {
    try {
      for await (const chunk of stream) {
        this.#splitter.feed(chunk as Buffer)
        await this.#takeLines()
        this.#progress.bytes += (chunk as Buffer).length
      }
      const last = this.#splitter.end()
      const problem = last === undefined ? undefined : this.#takeRow(last)
      if (problem !== undefined) await this.#onMalformed(problem)
      await this.#startBatch()
      await this.#drain()
    } catch (error) {
      await Promise.allSettled(this.#inFlight)
      throw this.#withRows(error)
    }
  }

  get skipped(): { skipped: number; firstSkipped: string | null } {
    return { skipped: this.#skipped, firstSkipped: this.#firstSkipped || null }
  }

  remarks(): string[] {
    if (this.#skipped === 0) return []
    const lines = formatCount(this.#skipped, 'malformed line')
    return [`skipped ${lines}, the first: ${this.#firstSkipped}`]
  }

  async #takeLines(): Promise<void> {
    for (;;) {
      const line = this.#splitter.next()
      if (line === undefined) return
      const problem = this.#takeRow(line)
      if (problem !== undefined) await this.#onMalformed(problem)
      if (this.#batch.length >= BATCH_ROWS || this.#batchBytes >= BATCH_BYTES) {
        await this.#startBatch()
      }
    }
  }

  /** What is wrong with the line, if anything. */
  #takeRow(line: Buffer | null): string | undefined {
    if (line === null) return `the line is longer than ${LINE_BYTES_MAX} bytes`
    const row = parseRow(line, this.#options.format, this.#options.encoding)
    if (row === undefined) return undefined
    if ('problem' in row) return row.problem
    this.#batch.push([row.key, row.value])
    this.#batchBytes += row.key.length + row.value.length
    return undefined
  }

  async #onMalformed(problem: string): Promise<void> {
    const where = `line ${this.#splitter.number}: ${problem}`
    if (this.#options.onError === 'stop') {
      // What came before the bad line is good: it is loaded before the command stops.
      await this.#startBatch()
      await this.#drain()
      throw new PolyraftError('InvalidArgument', where)
    }
    if (this.#skipped === 0) this.#firstSkipped = where
    this.#skipped++
  }

  async #startBatch(): Promise<void> {
    const rows = this.#batch
    if (rows.length === 0) return
    this.#batch = []
    this.#batchBytes = 0
    while (this.#inFlight.size >= this.#options.concurrency) await Promise.race(this.#inFlight)
    const keys = rows.map(([key]) => key.toString('latin1'))
    if (keys.some((key) => this.#keys.has(key))) await Promise.all(this.#inFlight)
    if (this.#error !== undefined) return this.#drain()
    for (const key of keys) this.#keys.add(key)
    const written: Promise<void> = this.#write(rows, keys).finally(() => {
      this.#inFlight.delete(written)
    })
    this.#inFlight.add(written)
  }

  /** Never rejects: the first failure is kept for `#drain`. */
  async #write(rows: readonly (readonly [Buffer, Buffer])[], keys: string[]): Promise<void> {
    try {
      await this.#kv.batchPut(rows, { cf: this.#options.cf })
      this.#progress.rows += rows.length
    } catch (error) {
      this.#error ??= error as Error
    }
    for (const key of keys) this.#keys.delete(key)
  }

  async #drain(): Promise<void> {
    await Promise.all(this.#inFlight)
    if (this.#error !== undefined) throw this.#error
  }

  #withRows(error: unknown): PolyraftError {
    const rows = formatCount(this.#progress.rows, 'row')
    const verb = this.#progress.rows === 1 ? 'was' : 'were'
    const code = error instanceof PolyraftError ? error.code : 'Internal'
    return new PolyraftError(
      code,
      `${errorMessage(error)}; ${rows} ${verb} loaded before`,
      { rows: this.#progress.rows },
      { cause: error },
    )
  }
}
