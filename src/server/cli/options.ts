/** Options that several commands share, and the parsing of their values. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { stripScheme, tryParseAddress } from '../../base/address.ts'
import { WAIT_MS_MAX } from '../../base/limits.ts'

const DEFAULT_PD = '127.0.0.1:2379'

export function addConnectOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--pd <addresses>', 'placement driver, host:port[,host:port…]')
        .argParser(parseAddresses)
        .default([DEFAULT_PD], DEFAULT_PD),
    )
    .option('--timeout-ms <ms>', 'give up after this long', parseTimeoutMs, 5000)
}

export function addEncodingOptions(command: Command): Command {
  return command
    .addOption(new Option('--hex', 'keys and values as hexadecimal').conflicts('base64'))
    .option('--base64', 'keys and values as base64')
    .option('--json', 'one JSON object a line')
    .option('--cf <name>', 'column family', 'default')
}

export function parseAddresses(text: string): string[] {
  const addresses = text
    .split(',')
    .map(stripScheme)
    .filter((each) => each !== '')
  for (const address of addresses) addressText(address)
  if (addresses.length === 0) throw new InvalidArgumentError('at least one host:port is needed.')
  return addresses
}

export function addressText(text: string): string {
  if (tryParseAddress(text) !== undefined) return text
  throw new InvalidArgumentError(`${text} is not host:port.`)
}

export function parsePositive(text: string): number {
  const value = parseCount(text)
  if (value === 0) throw new InvalidArgumentError('it must be above zero.')
  return value
}

/** Node makes 1 ms of what is longer than its timers can be. */
function parseTimeoutMs(text: string): number {
  const ms = parsePositive(text)
  if (ms > WAIT_MS_MAX)
    throw new InvalidArgumentError(`it must be at most ${WAIT_MS_MAX} (24 days).`)
  return ms
}

export function parseCount(text: string): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) {
    throw new InvalidArgumentError('it must be a whole number.')
  }
  return value
}
