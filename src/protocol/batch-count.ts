/**
 * How much a BatchCommandsRequest makes of its bytes, looked at before it is decoded: the smallest
 * command takes two bytes of a message and some hundred times that in memory.
 */
import { PolyraftError } from '../base/errors.ts'
import type { ProtoReader } from './proto-reader.ts'
import { bytesTag, varintTag } from './wire.ts'

const COMMANDS = bytesTag(1)
const ID = varintTag(2)
const PACKED_IDS = bytesTag(2)
const COMMAND_BYTES_MIN = 2
const ID_BYTES_MAX = 10

/**
 * Throws InvalidArgument when there are more commands, or ids, than that. Reads the fields of the
 * opened message; a message too short for so many is not read. @hot
 */
export function mustHoldCommands(
  reader: ProtoReader,
  messageBytes: number,
  commandsMax: number,
): void {
  if (messageBytes <= commandsMax * COMMAND_BYTES_MIN) return
  let commands = 0
  let ids = 0
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === COMMANDS) commands++
    if (tag === ID) ids++
    if (tag === PACKED_IDS) ids += Math.ceil(reader.bytes().length / ID_BYTES_MAX)
    else reader.skip(tag)
    if (commands > commandsMax || ids > commandsMax) throw tooMany(commandsMax)
  }
}

function tooMany(commandsMax: number): PolyraftError {
  return new PolyraftError(
    'InvalidArgument',
    `a message holds more than ${commandsMax} commands: send fewer at once`,
  )
}
