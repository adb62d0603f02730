/** `polyraft kv get|put|delete|cas|ttl`: single keys. */
import type { Command } from 'commander'
import { PolyraftError } from '../../base/errors.ts'
import type { CliIo } from '../cli/cli-io.ts'
import { decodeText, type Encoding, jsonObject } from '../cli/encoding.ts'
import { print } from '../cli/output.ts'
import { type DataOptions, dataCommand, decodeKey, runData } from './kv-command.ts'

const NEWLINE = Buffer.from('\n')

export function registerRows(kv: Command, io: CliIo): void {
  dataCommand(kv, 'get <key>', 'print the value of a key; exit 1 when there is none').action(
    (key: string, options: DataOptions) => get(io, key, options),
  )
  dataCommand(kv, 'put <key> <value>', 'write a value').action(
    (key: string, value: string, options: DataOptions) => put(io, key, value, options),
  )
  dataCommand(kv, 'delete <keys...>', 'delete keys; those that are absent are no error').action(
    (keys: string[], options: DataOptions) => deleteKeys(io, keys, options),
  )
  dataCommand(kv, 'cas <key> <value>', 'write a value if the present one is as expected')
    .option('--expected <value>', 'the present value; default: the key must be absent')
    .action((key: string, value: string, options: CasOptions) => cas(io, key, value, options))
  dataCommand(kv, 'ttl <key>', 'print the seconds that a key has to live; 0 = for ever').action(
    (key: string, options: DataOptions) => ttl(io, key, options),
  )
}

interface CasOptions extends DataOptions {
  readonly expected?: string
}

function get(io: CliIo, text: string, options: DataOptions): Promise<void> {
  const prepare = (encoding: Encoding) => decodeKey(text, encoding)
  return runData(io, options, prepare, async (kv, key, encoding) => {
    const value = await kv.get(key, { cf: options.cf })
    if (value === undefined) throw notFound(text)
    if (options.json === true) await print(io.stdout, jsonLine({ key, value }, encoding))
    else if (encoding === 'utf8') await print(io.stdout, Buffer.concat([value, NEWLINE]))
    else await print(io.stdout, `${value.toString(encoding)}\n`)
  })
}

function put(io: CliIo, key: string, value: string, options: DataOptions): Promise<void> {
  const prepare = (encoding: Encoding) => ({
    key: decodeKey(key, encoding),
    value: decodeText(value, encoding),
  })
  return runData(io, options, prepare, async (kv, row, encoding) => {
    await kv.put(row.key, row.value, { cf: options.cf })
    if (options.json === true)
      await print(io.stdout, jsonLine({ key: row.key, ok: true }, encoding))
  })
}

function deleteKeys(io: CliIo, texts: readonly string[], options: DataOptions): Promise<void> {
  const prepare = (encoding: Encoding) => texts.map((text) => decodeKey(text, encoding))
  return runData(io, options, prepare, async (kv, keys, encoding) => {
    await kv.batchDelete(keys, { cf: options.cf })
    const lines = keys.map((key) => jsonLine({ key, ok: true }, encoding))
    if (options.json === true) await print(io.stdout, lines.join(''))
  })
}

function cas(io: CliIo, key: string, value: string, options: CasOptions): Promise<void> {
  const { expected } = options
  const prepare = (encoding: Encoding) => ({
    key: decodeKey(key, encoding),
    expected: expected === undefined ? undefined : decodeText(expected, encoding),
    value: decodeText(value, encoding),
  })
  return runData(io, options, prepare, async (kv, { key, ...values }, encoding) => {
    const { swapped, previous } = await kv.compareAndSwap(key, { ...values, cf: options.cf })
    const answer = { key, swapped, previous: previous ?? null }
    const text = swapped ? 'swapped\n' : 'not swapped\n'
    await print(io.stdout, options.json === true ? jsonLine(answer, encoding) : text)
  })
}

function ttl(io: CliIo, text: string, options: DataOptions): Promise<void> {
  const prepare = (encoding: Encoding) => decodeKey(text, encoding)
  return runData(io, options, prepare, async (kv, key, encoding) => {
    const ttlSeconds = await kv.ttl(key, { cf: options.cf })
    if (ttlSeconds === undefined) throw notFound(text)
    const line = options.json === true ? jsonLine({ key, ttlSeconds }, encoding) : `${ttlSeconds}\n`
    await print(io.stdout, line)
  })
}

function jsonLine(fields: Parameters<typeof jsonObject>[0], encoding: Encoding): string {
  return `${jsonObject(fields, encoding)}\n`
}

function notFound(text: string): PolyraftError {
  return new PolyraftError('NotFound', `${text}: not found`)
}
