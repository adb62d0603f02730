/** `polyraft kv`: data from a shell. Keys and values are UTF-8, or what --hex and --base64 say. */
import { type Command, Option } from 'commander'
import { PolyraftError } from '../../base/errors.ts'
import type { Row, ScanOptions } from '../../client/kv-client.ts'
import { type CliIo, processIo } from '../cli/cli-io.ts'
import { decodeText, type EncodingOptions, encodingOf, jsonRow } from '../cli/encoding.ts'
import { escapeField } from '../cli/escapes.ts'
import { addConnectOptions, addEncodingOptions, parseCount, parsePositive } from '../cli/options.ts'
import { Output, print } from '../cli/output.ts'
import type { RowFormat } from '../cli/row-format.ts'
import { type ConnectOptions, runCommand, withKv } from '../cli/run.ts'
import { dumpRows } from './kv-dump.ts'
import { loadFile } from './kv-load.ts'

interface DataOptions extends ConnectOptions, EncodingOptions {
  readonly cf: string
  readonly json?: boolean
}

interface RangeOptions extends DataOptions {
  readonly start?: string
  readonly end?: string
  readonly limit?: number
}

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
  readonly format: RowFormat
  readonly output?: string
}

export function registerKv(program: Command, io: CliIo = processIo): void {
  const kv = program.command('kv').description('read and write data')
  registerGet(kv, io)
  registerPut(kv, io)
  registerDelete(kv, io)
  registerScan(kv, io)
  registerCas(kv, io)
  registerTtl(kv, io)
  registerLoad(kv, io)
  registerDump(kv, io)
}

function dataCommand(kv: Command, usage: string, description: string): Command {
  return addEncodingOptions(addConnectOptions(kv.command(usage).description(description)))
}

const JSON_HELP = 'one JSON object a line'

function registerGet(kv: Command, io: CliIo): void {
  dataCommand(kv, 'get <key>', 'print the value of a key; exit 1 when there is none')
    .option('--json', JSON_HELP)
    .action((text: string, options: DataOptions) => runCommand(io, () => get(io, text, options)))
}

async function get(io: CliIo, text: string, options: DataOptions): Promise<void> {
  const encoding = encodingOf(options)
  const key = decodeText(text, encoding)
  await withKv(io, options, async (kv) => {
    const value = await kv.get(key, { cf: options.cf })
    if (value === undefined) throw new PolyraftError('NotFound', `${text}: not found`)
    if (options.json === true) await print(io.stdout, `${jsonRow(key, value, encoding)}\n`)
    else if (encoding === 'utf8') await print(io.stdout, Buffer.concat([value, NEWLINE]))
    else await print(io.stdout, `${value.toString(encoding)}\n`)
  })
}

const NEWLINE = Buffer.from('\n')

function registerPut(kv: Command, io: CliIo): void {
  dataCommand(kv, 'put <key> <value>', 'write a value').action(
    (key: string, value: string, options: DataOptions) =>
      runCommand(io, async () => {
        const encoding = encodingOf(options)
        const pair = [decodeText(key, encoding), decodeText(value, encoding)] as const
        await withKv(io, options, (client) => client.put(pair[0], pair[1], { cf: options.cf }))
      }),
  )
}

function registerDelete(kv: Command, io: CliIo): void {
  dataCommand(kv, 'delete <keys...>', 'delete keys; those that are absent are no error').action(
    (texts: string[], options: DataOptions) =>
      runCommand(io, async () => {
        const keys = texts.map((text) => decodeText(text, encodingOf(options)))
        await withKv(io, options, (client) => client.batchDelete(keys, { cf: options.cf }))
      }),
  )
}

function addRange(command: Command): Command {
  return command
    .option('--start <key>', 'first key, inclusive; default: the first there is')
    .option('--end <key>', 'end, exclusive; default: the end of the key space')
    .option('--limit <rows>', 'rows at most', parseCount)
}

function registerScan(kv: Command, io: CliIo): void {
  const description = 'print rows in the order of their keys: key TAB value, escaped as dump does'
  addRange(dataCommand(kv, 'scan', description))
    .option('--reverse', 'from the highest key downwards')
    .option('--keys-only', 'without values')
    .option('--json', JSON_HELP)
    .action((options: ScanCommandOptions) => runCommand(io, () => scan(io, options)))
}

async function scan(io: CliIo, options: ScanCommandOptions): Promise<void> {
  const range: ScanOptions = {
    ...scanRange(options),
    reverse: options.reverse ?? false,
    keysOnly: options.keysOnly ?? false,
  }
  await withKv(io, options, async (kv) => {
    const output = new Output(io.stdout)
    for await (const rows of kv.scan(range).pages()) {
      await output.write(rows.map((row) => scanLine(row, options)).join(''))
    }
    await output.flush()
  })
}

function scanRange(options: RangeOptions): ScanOptions {
  const encoding = encodingOf(options)
  return {
    cf: options.cf,
    ...(options.start !== undefined && { start: decodeText(options.start, encoding) }),
    ...(options.end !== undefined && { end: decodeText(options.end, encoding) }),
    ...(options.limit !== undefined && { limit: options.limit }),
  }
}

function scanLine([key, value]: Row, options: ScanCommandOptions): string {
  const encoding = encodingOf(options)
  const shown = options.keysOnly === true ? undefined : value
  if (options.json === true) return `${jsonRow(key, shown, encoding)}\n`
  const format = (bytes: Buffer) =>
    encoding === 'utf8' ? escapeField(bytes) : bytes.toString(encoding)
  return shown === undefined ? `${format(key)}\n` : `${format(key)}\t${format(shown)}\n`
}

function registerCas(kv: Command, io: CliIo): void {
  dataCommand(kv, 'cas <key> <value>', 'write a value if the present one is as expected')
    .option('--expected <value>', 'the present value; default: the key must be absent')
    .action((key: string, value: string, options: DataOptions & { expected?: string }) =>
      runCommand(io, async () => {
        const encoding = encodingOf(options)
        const swap = {
          expected:
            options.expected === undefined ? undefined : decodeText(options.expected, encoding),
          value: decodeText(value, encoding),
          cf: options.cf,
        }
        await withKv(io, options, async (client) => {
          const { swapped } = await client.compareAndSwap(decodeText(key, encoding), swap)
          await print(io.stdout, swapped ? 'swapped\n' : 'not swapped\n')
        })
      }),
    )
}

function registerTtl(kv: Command, io: CliIo): void {
  dataCommand(kv, 'ttl <key>', 'print the seconds that a key has to live; 0 = for ever').action(
    (text: string, options: DataOptions) =>
      runCommand(io, async () => {
        const key = decodeText(text, encodingOf(options))
        await withKv(io, options, async (client) => {
          const seconds = await client.ttl(key, { cf: options.cf })
          if (seconds === undefined) throw new PolyraftError('NotFound', `${text}: not found`)
          await print(io.stdout, `${seconds}\n`)
        })
      }),
  )
}

const FORMAT_HELP =
  'tsv: key TAB value, with \\t \\n \\r \\\\ \\xNN as escapes; jsonl: {"key": …, "value": …}, ' +
  'or keyBase64 and valueBase64 for bytes that are not UTF-8'

function formatOption(): Option {
  return new Option('--format <format>', FORMAT_HELP).choices(['tsv', 'jsonl']).default('tsv')
}

function registerLoad(kv: Command, io: CliIo): void {
  addConnectOptions(
    kv.command('load <file>').description('write the rows of a file, or of - (stdin)'),
  )
    .option('--cf <name>', 'column family', 'default')
    .addOption(formatOption())
    .addOption(
      new Option('--on-error <what>', 'at a malformed line')
        .choices(['stop', 'skip'])
        .default('stop'),
    )
    .option('--concurrency <batches>', 'batches under way at a time', parsePositive, 4)
    .action((file: string, options: LoadCommandOptions) =>
      runCommand(io, () => withKv(io, options, (client) => loadFile(io, client, file, options))),
    )
}

function registerDump(kv: Command, io: CliIo): void {
  addRange(dataCommand(kv, 'dump', 'print rows so that load reads them back'))
    .addOption(formatOption())
    .option('-o, --output <file>', 'write to a file instead of stdout (-)')
    .action((options: DumpCommandOptions) =>
      runCommand(io, async () => {
        const scan = scanRange(options)
        const file = options.output === '-' ? undefined : options.output
        const dump = { format: options.format, file, scan }
        await withKv(io, options, (client) => dumpRows(io, client, dump))
      }),
    )
}
