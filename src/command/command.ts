/**
 * What is inside a raft entry. Little-endian; the first byte tells the kind, so that other kinds
 * of command can stand beside this one:
 *
 *   data command  u8 kind=1 | u8 format=1 | u64 epoch version | u32 n | n × op
 *   op            put     u8 1 | u8 cf | u16 key length | u32 value length | key | value
 *                 delete  u8 2 | u8 cf | u16 key length | key
 *   key           'z' | user key           as the engine keeps it: apply hands out views
 *   value         user value | u8 flags    the stored form, see stored-value.ts
 *
 * The epoch version is the region's when the command was proposed: apply refuses it when the
 * region has split or merged since. Entries are the same bytes on the wire, in the log and here, so
 * whatever does not decode is corruption, on every replica alike.
 */
import { readU64LE } from '../base/bytes.ts'
import { PolyraftError } from '../base/errors.ts'
import { KEY_BYTES_MAX } from '../base/limits.ts'
import { DATA_PREFIX } from '../region/keys.ts'
import { USER_COLUMN_FAMILY_MAX } from './column-family.ts'

/** Admin commands are in admin.ts. */
export const CommandKind = { Data: 1, Admin: 2 } as const
export const DATA_FORMAT = 1
export const OpKind = { Put: 1, Delete: 2 } as const

/** Offsets within the header. */
export const EPOCH_VERSION_AT = 2
export const OP_COUNT_AT = 10
export const COMMAND_HEADER_BYTES = 14
export const PUT_HEADER_BYTES = 8
export const DELETE_HEADER_BYTES = 4
/** The prefix in front of the user key. */
const KEY_PREFIX_BYTES = 1
/** The flags behind the user value. */
const VALUE_FLAGS_BYTES = 1

/** Bytes that a put adds to a command. */
export function putBytes(userKeyLength: number, userValueLength: number): number {
  return PUT_HEADER_BYTES + KEY_PREFIX_BYTES + userKeyLength + userValueLength + VALUE_FLAGS_BYTES
}

/** Bytes that a delete adds to a command. */
export function deleteBytes(userKeyLength: number): number {
  return DELETE_HEADER_BYTES + KEY_PREFIX_BYTES + userKeyLength
}

/** Takes the operations of a command in order. Views: valid as long as the entry's bytes. */
export interface CommandVisitor {
  put(cf: number, key: Buffer, value: Buffer): void
  delete(cf: number, key: Buffer): void
}

/** The epoch version that a data command was proposed under. */
export function commandEpochVersion(data: Buffer): number {
  mustBeDataCommand(data)
  try {
    return readU64LE(data, EPOCH_VERSION_AT)
  } catch {
    // The gateway's refusal, told as what it means here.
    throw corrupt('an epoch version above 2^53-1', EPOCH_VERSION_AT)
  }
}

/** Walks through a data command; returns its number of operations. */
// @hot
export function readCommand(data: Buffer, visitor: CommandVisitor): number {
  mustBeDataCommand(data)
  const count = data.readUInt32LE(OP_COUNT_AT)
  let at = COMMAND_HEADER_BYTES
  for (let i = 0; i < count; i++) at = readOp(data, at, visitor)
  if (at !== data.length) throw corrupt(`${data.length - at} bytes behind the last operation`, at)
  return count
}

/** Reads the operation at `at`, returns where the next one begins. */
function readOp(data: Buffer, at: number, visitor: CommandVisitor): number {
  if (at + DELETE_HEADER_BYTES > data.length) throw corrupt('an operation cut short', at)
  const op = data[at]
  const cf = data[at + 1]!
  const keyLength = data[at + 2]! | (data[at + 3]! << 8)
  if (cf > USER_COLUMN_FAMILY_MAX) throw corrupt(`column family ${cf}`, at)
  if (op === OpKind.Put) return readPut(data, at, cf, keyLength, visitor)
  if (op !== OpKind.Delete) throw corrupt(`operation ${op}`, at)
  const keyAt = at + DELETE_HEADER_BYTES
  visitor.delete(cf, keyView(data, keyAt, keyLength))
  return keyAt + keyLength
}

function readPut(
  data: Buffer,
  at: number,
  cf: number,
  keyLength: number,
  visitor: CommandVisitor,
): number {
  if (at + PUT_HEADER_BYTES > data.length) throw corrupt('a put cut short', at)
  const valueLength = data.readUInt32LE(at + DELETE_HEADER_BYTES)
  const keyAt = at + PUT_HEADER_BYTES
  const key = keyView(data, keyAt, keyLength)
  const valueAt = keyAt + keyLength
  const end = valueAt + valueLength
  if (valueLength < VALUE_FLAGS_BYTES || end > data.length) {
    throw corrupt(`a value of ${valueLength} bytes`, valueAt)
  }
  visitor.put(cf, key, data.subarray(valueAt, end))
  return end
}

function keyView(data: Buffer, at: number, length: number): Buffer {
  if (length < KEY_PREFIX_BYTES || length > KEY_BYTES_MAX + KEY_PREFIX_BYTES) {
    throw corrupt(`a key of ${length} bytes`, at)
  }
  if (at + length > data.length) throw corrupt('a key cut short', at)
  if (data[at] !== DATA_PREFIX) throw corrupt('a key without the data prefix', at)
  return data.subarray(at, at + length)
}

function mustBeDataCommand(data: Buffer): void {
  if (data.length < COMMAND_HEADER_BYTES) throw corrupt('a header cut short', 0)
  if (data[0] !== CommandKind.Data) throw corrupt(`command kind ${data[0]}`, 0)
  if (data[1] !== DATA_FORMAT) throw corrupt(`data command format ${data[1]}`, 1)
}

function corrupt(what: string, at: number): PolyraftError {
  return new PolyraftError('Corruption', `raft command: ${what} at byte ${at}`, { at })
}
