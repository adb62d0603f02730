/** `polyraft kv dump`: rows of the cluster as text, no faster than the reader takes them. */
import { errorMessage, PolyraftError, systemErrorCode } from '../../base/errors.ts'
import type { KvClient, ScanOptions } from '../../client/kv-client.ts'
import type { CliIo } from '../cli/cli-io.ts'
import type { Encoding } from '../cli/encoding.ts'
import { Output, print } from '../cli/output.ts'
import { OutputFile } from '../cli/output-file.ts'
import { Progress } from '../cli/progress.ts'
import { formatRow, type RowFormat } from '../cli/row-format.ts'

export interface DumpOptions {
  readonly format: RowFormat
  readonly encoding: Encoding
  /** Also the summary; it goes to stdout where no rows go. */
  readonly json: boolean
  /** undefined = stdout. */
  readonly file: string | undefined
  readonly scan: ScanOptions
}

export async function dumpRows(io: CliIo, kv: KvClient, options: DumpOptions): Promise<void> {
  // Where the rows themselves go to the terminal, a progress line would only disturb them.
  const live = io.stderr.isTTY === true && (options.file !== undefined || io.stdout.isTTY !== true)
  const progress = new Progress(io.stderr, 'dumped', undefined, live)
  try {
    if (options.file !== undefined) await writeFile(options.file, kv, options, progress)
    else {
      const output = new Output(io.stdout)
      await writeRows(output, kv, options, progress)
      await output.flush()
    }
  } finally {
    progress.stop()
  }
  if (!options.json) progress.finish()
  else {
    const stream = options.file === undefined ? io.stderr : io.stdout
    await print(stream, `${JSON.stringify(progress.figures())}\n`)
  }
}

async function writeFile(
  path: string,
  kv: KvClient,
  options: DumpOptions,
  progress: Progress,
): Promise<void> {
  const file = await OutputFile.open(path)
  try {
    const output = new Output(file.stream)
    await writeRows(output, kv, options, progress)
    await output.end()
    await file.complete()
  } catch (error) {
    await file.abandon()
    if (error instanceof PolyraftError || systemErrorCode(error) === 'EPIPE') throw error
    const message = `cannot write ${path}: ${errorMessage(error)}`
    throw new PolyraftError('DiskError', message, { file: path }, { cause: error })
  }
}

async function writeRows(
  output: Output,
  kv: KvClient,
  options: DumpOptions,
  progress: Progress,
): Promise<void> {
  for await (const rows of kv.scan(options.scan).pages()) {
    let text = ''
    for (const [key, value] of rows) {
      text += formatRow(key, value, options.format, options.encoding)
      progress.bytes += key.length + value.length
    }
    progress.rows += rows.length
    await output.write(text)
  }
}
