/**
 * Membership changes as entry data: the protobuf messages that raft implementations share.
 *
 *   ConfChange       = { 2: type, 3: node id, 4: context }            one change, entry ConfChange
 *   ConfChangeSingle = { 1: type, 2: node id }
 *   ConfChangeV2     = { 1: transition, 2: ConfChangeSingle…, 3: context }     entry ConfChangeV2
 *
 * Fields with their default value are left out, so a V2 that only leaves the joint state is empty.
 */
import { assert } from '../base/assert.ts'
import { asBuffer, EMPTY_BYTES, wordsToU64 } from '../base/bytes.ts'
import { PolyraftError } from '../base/errors.ts'
import {
  type ConfChangeSingle,
  ConfChangeTransition,
  ConfChangeType,
  type ConfChangeV2,
  type Entry,
  EntryType,
} from './types.ts'

const VARINT = 0
const BYTES = 2
const VARINT_BYTES_MAX = 10

export function encodeConfChangeV1(change: ConfChangeV2): Buffer {
  assert(change.changes.length === 1, 'a version 1 change changes one peer')
  assert(change.transition === ConfChangeTransition.Auto, 'a version 1 change is never joint')
  const { type, nodeId } = change.changes[0]!
  const out: number[] = []
  putNumber(out, 2, type)
  putNumber(out, 3, nodeId)
  putBytes(out, 4, change.context)
  return Buffer.from(out)
}

export function encodeConfChangeV2(change: ConfChangeV2): Buffer {
  const out: number[] = []
  putNumber(out, 1, change.transition)
  for (const { type, nodeId } of change.changes) {
    const single: number[] = []
    putNumber(single, 1, type)
    putNumber(single, 2, nodeId)
    putTag(out, 2, BYTES)
    putVarint(out, single.length)
    out.push(...single)
  }
  putBytes(out, 3, change.context)
  return Buffer.from(out)
}

/** The change in a ConfChange or ConfChangeV2 entry. */
export function decodeConfChange(entry: Entry): ConfChangeV2 {
  assert(entry.type !== EntryType.Normal, `entry ${entry.index} holds a membership change`)
  const data = asBuffer(entry.data)
  return entry.type === EntryType.ConfChange ? decodeV1(data) : decodeV2(data)
}

function decodeV1(data: Buffer): ConfChangeV2 {
  const fields = new FieldReader(data)
  let type = 0
  let nodeId = 0
  let context: Uint8Array = EMPTY_BYTES
  while (fields.next()) {
    if (fields.is(2, VARINT)) type = fields.number
    else if (fields.is(3, VARINT)) nodeId = fields.number
    else if (fields.is(4, BYTES)) context = fields.bytes
  }
  const changes = [{ type: changeType(type), nodeId }]
  return { transition: ConfChangeTransition.Auto, changes, context }
}

function decodeV2(data: Buffer): ConfChangeV2 {
  const fields = new FieldReader(data)
  const changes: ConfChangeSingle[] = []
  let transition = 0
  let context: Uint8Array = EMPTY_BYTES
  while (fields.next()) {
    if (fields.is(1, VARINT)) transition = fields.number
    else if (fields.is(2, BYTES)) changes.push(decodeSingle(fields.bytes))
    else if (fields.is(3, BYTES)) context = fields.bytes
  }
  if (transition > ConfChangeTransition.Explicit) malformed(`transition ${transition}`)
  return { transition: transition as ConfChangeTransition, changes, context }
}

function decodeSingle(data: Buffer): ConfChangeSingle {
  const fields = new FieldReader(data)
  let type = 0
  let nodeId = 0
  while (fields.next()) {
    if (fields.is(1, VARINT)) type = fields.number
    else if (fields.is(2, VARINT)) nodeId = fields.number
  }
  return { type: changeType(type), nodeId }
}

function changeType(type: number): ConfChangeType {
  if (type > ConfChangeType.UpdateNode) malformed(`change type ${type}`)
  return type as ConfChangeType
}

function malformed(what: string): never {
  throw new PolyraftError('Corruption', `malformed membership change: ${what}`)
}

function putVarint(out: number[], value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, `${value} fits a u64`)
  while (value >= 0x80) {
    out.push((value % 0x80) | 0x80)
    value = Math.floor(value / 0x80)
  }
  out.push(value)
}

function putTag(out: number[], field: number, wire: number): void {
  out.push(field * 8 + wire)
}

function putNumber(out: number[], field: number, value: number): void {
  if (value === 0) return
  putTag(out, field, VARINT)
  putVarint(out, value)
}

function putBytes(out: number[], field: number, bytes: Uint8Array): void {
  if (bytes.length === 0) return
  putTag(out, field, BYTES)
  putVarint(out, bytes.length)
  for (const byte of bytes) out.push(byte)
}

/** Walks over the fields of one protobuf message. */
class FieldReader {
  readonly #data: Buffer
  #offset = 0
  #tag = 0
  number = 0
  bytes: Buffer = EMPTY_BYTES

  constructor(data: Buffer) {
    this.#data = data
  }

  is(field: number, wire: number): boolean {
    return this.#tag === field * 8 + wire
  }

  /** Reads the next field; false at the end. */
  next(): boolean {
    if (this.#offset === this.#data.length) return false
    this.#tag = this.#varint()
    const wire = this.#tag % 8
    if (wire === VARINT) this.number = this.#varint()
    else if (wire === BYTES) this.bytes = this.#take(this.#varint())
    else malformed(`wire type ${wire}`)
    return true
  }

  #take(length: number): Buffer {
    const end = this.#offset + length
    if (end > this.#data.length) malformed('it ends too early')
    const taken = this.#data.subarray(this.#offset, end)
    this.#offset = end
    return taken
  }

  #varint(): number {
    let low = 0
    let high = 0
    for (let i = 0; i < VARINT_BYTES_MAX; i++) {
      const byte = this.#take(1)[0]!
      const bits = BigInt(byte & 0x7f) << BigInt(7 * i)
      low += Number(bits & 0xffff_ffffn)
      high += Number(bits >> 32n)
      if (byte < 0x80) return wordsToU64(high, low)
    }
    return malformed('a number is too long')
  }
}
