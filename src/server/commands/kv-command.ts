/** The frame of the `polyraft kv` commands: their options, and the checks that need no cluster. */
import type { Command } from 'commander'
import { PolyraftError } from '../../base/errors.ts'
import { checkKey, toColumnFamily, toScanRange } from '../../client/input.ts'
import type { KvClient, ScanOptions } from '../../client/kv-client.ts'
import type { CliIo } from '../cli/cli-io.ts'
import { decodeText, type Encoding, type EncodingOptions, encodingOf } from '../cli/encoding.ts'
import { addConnectOptions, addEncodingOptions, parseCount } from '../cli/options.ts'
import { type ConnectOptions, runCommand, withKv } from '../cli/run.ts'
import { WrongUsage } from '../wrong-usage.ts'

export interface DataOptions extends ConnectOptions, EncodingOptions {
  readonly cf: string
  readonly json?: boolean
}

export interface RangeOptions extends DataOptions {
  readonly start?: string
  readonly end?: string
  readonly limit?: number
}

export function dataCommand(kv: Command, usage: string, description: string): Command {
  return addEncodingOptions(addConnectOptions(kv.command(usage).description(description)))
}

export function addRange(command: Command): Command {
  return command
    .option('--start <key>', 'first key, inclusive; default: the first there is')
    .option('--end <key>', 'end, exclusive; default: the end of the key space')
    .option('--limit <rows>', 'rows at most', parseCount)
}

/** `prepare` makes a request out of what was typed, and `use` is not called when that is wrong. */
export function runData<Request>(
  io: CliIo,
  options: DataOptions,
  prepare: (encoding: Encoding) => Request,
  use: (kv: KvClient, request: Request, encoding: Encoding) => Promise<void>,
): Promise<void> {
  return runCommand(io, async () => {
    const encoding = encodingOf(options)
    mustBeUsable(() => toColumnFamily(options.cf))
    const request = prepare(encoding)
    await withKv(io, options, (kv) => use(kv, request, encoding))
  })
}

export function decodeKey(text: string, encoding: Encoding): Buffer {
  const key = decodeText(text, encoding)
  mustBeUsable(() => checkKey(key))
  return key
}

export function scanRange(options: RangeOptions, encoding: Encoding): ScanOptions {
  const range = {
    cf: options.cf,
    ...(options.start !== undefined && { start: decodeText(options.start, encoding) }),
    ...(options.end !== undefined && { end: decodeText(options.end, encoding) }),
    ...(options.limit !== undefined && { limit: options.limit }),
  }
  mustBeUsable(() => toScanRange(range))
  return range
}

/** What the client would refuse of the arguments is wrong usage. */
function mustBeUsable(check: () => void): void {
  try {
    check()
  } catch (error) {
    if (!(error instanceof PolyraftError)) throw error
    throw new WrongUsage(error.message, 'InvalidArgument', { cause: error })
  }
}
