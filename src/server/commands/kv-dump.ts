/** `polyraft kv dump`: rows of the cluster as text, no faster than the reader takes them. */
import { once } from 'node:events'
import { createWriteStream, type WriteStream } from 'node:fs'
import { errorMessage, PolyraftError, systemErrorCode } from '../../base/errors.ts'
import type { KvClient, ScanOptions } from '../../client/kv-client.ts'
import type { CliIo } from '../cli/cli-io.ts'
import { Output } from '../cli/output.ts'
import { Progress } from '../cli/progress.ts'
import { formatRow, type RowFormat } from '../cli/row-format.ts'

export interface DumpOptions {
  readonly format: RowFormat
  /** undefined = stdout. */
  readonly file: string | undefined
  readonly scan: ScanOptions
}

export async function dumpRows(io: CliIo, kv: KvClient, options: DumpOptions): Promise<void> {
  const output = new Output(options.file === undefined ? io.stdout : await openFile(options.file))
  // Where the rows themselves go to the terminal, a progress line would only disturb them.
  const live = io.stderr.isTTY === true && (options.file !== undefined || io.stdout.isTTY !== true)
  const progress = new Progress(io.stderr, 'dumped', undefined, live)
  try {
    for await (const rows of kv.scan(options.scan).pages()) {
      let text = ''
      for (const [key, value] of rows) {
        text += formatRow(key, value, options.format)
        progress.bytes += key.length + value.length
      }
      progress.rows += rows.length
      await output.write(text)
    }
    await (options.file === undefined ? output.flush() : output.end())
  } finally {
    progress.stop()
  }
  progress.finish()
}

async function openFile(file: string): Promise<WriteStream> {
  const stream = createWriteStream(file)
  try {
    await once(stream, 'open')
    return stream
  } catch (error) {
    const why = systemErrorCode(error) === 'EISDIR' ? 'it is a directory' : errorMessage(error)
    const message = `cannot write ${file}: ${why}`
    throw new PolyraftError('InvalidArgument', message, { file }, { cause: error })
  }
}
