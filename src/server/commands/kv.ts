/** `polyraft kv`: data from a shell. Keys and values are UTF-8, or what --hex and --base64 say. */
import { type Command, Option } from 'commander'
import type { Row, ScanOptions } from '../../client/kv-client.ts'
import { type CliIo, processIo } from '../cli/cli-io.ts'
import { type Encoding, encodeField, jsonRow } from '../cli/encoding.ts'
import { parsePositive } from '../cli/options.ts'
import { Output } from '../cli/output.ts'
import { formatRow, type RowFormat } from '../cli/row-format.ts'
import { WrongUsage } from '../wrong-usage.ts'
import {
  addRange,
  type DataOptions,
  dataCommand,
  type RangeOptions,
  runData,
  scanRange,
} from './kv-command.ts'
import { dumpRows } from './kv-dump.ts'
import { loadFile } from './kv-load.ts'
import { registerRows } from './kv-rows.ts'

interface ScanCommandOptions extends RangeOptions {
  readonly reverse?: boolean
  readonly keysOnly?: boolean
}

interface LoadCommandOptions extends DataOptions {
  readonly format: RowFormat
  readonly onError: 'stop' | 'skip'
  readonly concurrency: number
}

interface DumpCommandOptions extends RangeOptions {
  readonly format?: RowFormat
  readonly output?: string
}

export function registerKv(program: Command, io: CliIo = processIo): void {
  const kv = program.command('kv').description('read and write data')
  registerRows(kv, io)
  registerScan(kv, io)
  registerLoad(kv, io)
  registerDump(kv, io)
}

function registerScan(kv: Command, io: CliIo): void {
  const description = 'print rows in the order of their keys: key TAB value, escaped as dump does'
  addRange(dataCommand(kv, 'scan', description))
    .option('--reverse', 'from the highest key downwards')
    .option('--keys-only', 'without values')
    .action((options: ScanCommandOptions) => scan(io, options))
}

function scan(io: CliIo, options: ScanCommandOptions): Promise<void> {
  const prepare = (encoding: Encoding): ScanOptions => ({
    ...scanRange(options, encoding),
    reverse: options.reverse ?? false,
    keysOnly: options.keysOnly ?? false,
  })
  return runData(io, options, prepare, async (kv, range, encoding) => {
    const output = new Output(io.stdout)
    for await (const rows of kv.scan(range).pages()) {
      await output.write(rows.map((row) => scanLine(row, options, encoding)).join(''))
    }
    await output.flush()
  })
}

function scanLine([key, value]: Row, options: ScanCommandOptions, encoding: Encoding): string {
  const format = options.json === true ? 'jsonl' : 'tsv'
  if (options.keysOnly !== true) return formatRow(key, value, format, encoding)
  const line = format === 'jsonl' ? jsonRow(key, undefined, encoding) : encodeField(key, encoding)
  return `${line}\n`
}

const FORMAT_HELP =
  'tsv: key TAB value, with \\t \\n \\r \\\\ \\xNN as escapes, or as --hex or --base64; ' +
  'jsonl: {"key": …, "value": …}, or keyBase64 and valueBase64 for bytes that are not UTF-8, ' +
  'or keyHex and valueHex'

function formatOption(help = ''): Option {
  return new Option('--format <format>', `${FORMAT_HELP}${help}`).choices(['tsv', 'jsonl'])
}

function registerLoad(kv: Command, io: CliIo): void {
  dataCommand(kv, 'load <file>', 'write the rows of a file, or of - (stdin)')
    .addOption(formatOption().default('tsv'))
    .addOption(
      new Option('--on-error <what>', 'at a row that cannot be written')
        .choices(['stop', 'skip'])
        .default('stop'),
    )
    .option('--concurrency <batches>', 'batches under way at a time', parsePositive, 4)
    .action((file: string, options: LoadCommandOptions) =>
      runData(
        io,
        options,
        (encoding) => ({ ...options, json: options.json === true, encoding }),
        (client, load) => loadFile(io, client, file, load),
      ),
    )
}

function registerDump(kv: Command, io: CliIo): void {
  addRange(dataCommand(kv, 'dump', 'print rows so that load reads them back'))
    .addOption(formatOption('; default: tsv, or jsonl with --json'))
    .option('-o, --output <file>', 'write to a file instead of stdout (-)')
    .action((options: DumpCommandOptions) =>
      runData(
        io,
        options,
        (encoding) => ({
          ...dumpFormat(options),
          encoding,
          file: options.output === '-' ? undefined : options.output,
          scan: scanRange(options, encoding),
        }),
        (client, dump) => dumpRows(io, client, dump),
      ),
    )
}

function dumpFormat(options: DumpCommandOptions): { format: RowFormat; json: boolean } {
  const json = options.json === true
  if (json && options.format === 'tsv') throw new WrongUsage('--json writes jsonl, not tsv')
  return { format: options.format ?? (json ? 'jsonl' : 'tsv'), json }
}
