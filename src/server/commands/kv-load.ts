/**
 * `polyraft kv load`: a file of rows into the cluster, streaming. Rows gather into batches, a bounded
 * number of which are under way, so memory does not grow with the file. A key that comes twice is
 * written in the order of the file: a batch waits while one before it holds the same key.
 */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { type ErrorCode, errorMessage, PolyraftError, systemErrorCode } from '../../base/errors.ts'
import { ENTRY_BYTES_MAX, KEY_BYTES_MAX, MIB } from '../../base/limits.ts'
import type { KvClient } from '../../client/kv-client.ts'
import type { CliIo } from '../cli/cli-io.ts'
import type { Encoding } from '../cli/encoding.ts'
import { LineSplitter } from '../cli/line-splitter.ts'
import { print } from '../cli/output.ts'
import { formatCount, Progress } from '../cli/progress.ts'
import { type ParsedRow, parseRow, type RowFormat } from '../cli/row-format.ts'

const BATCH_ROWS = 2048
const BATCH_BYTES = MIB
/** The longest row there can be, with six characters for each of its bytes. */
const LINE_BYTES_MAX = (KEY_BYTES_MAX + ENTRY_BYTES_MAX) * 6 + 1024
const READ_BYTES = MIB
/** With its only method, so that no text begins like it. */
const GZIP_MAGIC = Buffer.from([0x1f, 0x8b, 0x08])

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

function mustNotBeGzip(start: Buffer): void {
  if (!start.subarray(0, GZIP_MAGIC.length).equals(GZIP_MAGIC)) return
  throw new PolyraftError(
    'InvalidArgument',
    'this is compressed with gzip; decompress it first: zcat FILE | polyraft kv load -',
  )
}

interface LoadRow extends ParsedRow {
  /** Where it stands in the file, from 1. */
  readonly line: number
}

/** Of a row, whatever else is written with it. */
const ROW_REFUSALS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'RaftEntryTooLarge',
  'KeyEmpty',
  'KeyTooLarge',
  'ValueTooLarge',
])

class Loader {
  #kv: KvClient
  #options: LoadOptions
  #progress: Progress
  #splitter = new LineSplitter(LINE_BYTES_MAX)
  #batch: LoadRow[] = []
  #batchBytes = 0
  #inFlight = new Set<Promise<void>>()
  /** Keys of the batches under way. */
  #keys = new Set<string>()
  #error: Error | undefined = undefined
  #skipped = 0
  #firstSkipped: { readonly line: number; readonly problem: string } | undefined

  constructor(kv: KvClient, options: LoadOptions, progress: Progress) {
    this.#kv = kv
    this.#options = options
    this.#progress = progress
  }

  async run(stream: Readable): Promise<void> {
    try {
      for await (const chunk of stream) {
        if (this.#progress.bytes === 0) mustNotBeGzip(chunk as Buffer)
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
    const first = this.#firstSkipped
    return { skipped: this.#skipped, firstSkipped: first === undefined ? null : placed(first) }
  }

  remarks(): string[] {
    const { skipped, firstSkipped } = this.skipped
    return skipped === 0
      ? []
      : [`skipped ${formatCount(skipped, 'line')}, the first: ${firstSkipped}`]
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
    this.#batch.push({ ...row, line: this.#splitter.number })
    this.#batchBytes += row.key.length + row.value.length
    return undefined
  }

  async #onMalformed(problem: string): Promise<void> {
    const found = { line: this.#splitter.number, problem }
    if (this.#options.onError === 'stop') {
      // What came before the bad line is good: it is loaded before the command stops.
      await this.#startBatch()
      await this.#drain()
      throw new PolyraftError('InvalidArgument', placed(found))
    }
    this.#skip(found)
  }

  /** The first by its place in the file: batches end in any order. */
  #skip(found: { readonly line: number; readonly problem: string }): void {
    const first = this.#firstSkipped
    if (first === undefined || found.line < first.line) this.#firstSkipped = found
    this.#skipped++
  }

  async #startBatch(): Promise<void> {
    const rows = this.#batch
    if (rows.length === 0) return
    this.#batch = []
    this.#batchBytes = 0
    while (this.#inFlight.size >= this.#options.concurrency) await Promise.race(this.#inFlight)
    const keys = rows.map(({ key }) => key.toString('latin1'))
    if (keys.some((key) => this.#keys.has(key))) await Promise.all(this.#inFlight)
    if (this.#error !== undefined) return this.#drain()
    for (const key of keys) this.#keys.add(key)
    const written: Promise<void> = this.#write(rows, keys).finally(() => {
      this.#inFlight.delete(written)
    })
    this.#inFlight.add(written)
  }

  /** Never rejects: the first failure is kept for `#drain`. */
  async #write(rows: readonly LoadRow[], keys: string[]): Promise<void> {
    try {
      await this.#put(rows)
    } catch (error) {
      this.#error ??= error as Error
    }
    for (const key of keys) this.#keys.delete(key)
  }

  /** What is refused for a row is halved, until it is that row alone. */
  async #put(rows: readonly LoadRow[]): Promise<void> {
    try {
      const pairs = rows.map(({ key, value }) => [key, value] as const)
      await this.#kv.batchPut(pairs, { cf: this.#options.cf })
      this.#progress.rows += rows.length
    } catch (error) {
      if (!(error instanceof PolyraftError) || !ROW_REFUSALS.has(error.code)) throw error
      if (rows.length > 1) {
        const half = rows.length >> 1
        await this.#put(rows.slice(0, half))
        await this.#put(rows.slice(half))
      } else this.#onRefused(rows[0]!, error)
    }
  }

  #onRefused({ line }: LoadRow, error: PolyraftError): void {
    const found = { line, problem: error.message }
    if (this.#options.onError === 'skip') this.#skip(found)
    else throw new PolyraftError(error.code, placed(found), error.data, { cause: error })
  }

  async #drain(): Promise<void> {
    await Promise.all(this.#inFlight)
    if (this.#error !== undefined) throw this.#error
  }

  /** Also rows behind the one that failed, in other batches; of some it is not known. */
  #withRows(error: unknown): PolyraftError {
    const rows = formatCount(this.#progress.rows, 'row')
    const verb = this.#progress.rows === 1 ? 'is' : 'are'
    const code = error instanceof PolyraftError ? error.code : 'Internal'
    return new PolyraftError(
      code,
      `${errorMessage(error)}; ${rows} ${verb} known to be loaded`,
      { rows: this.#progress.rows },
      { cause: error },
    )
  }
}

function placed({ line, problem }: { readonly line: number; readonly problem: string }): string {
  return `line ${line}: ${problem}`
}
