/**
 * Protobuf messages from the .proto files beside this module, by way of protobufjs, for services
 * that are not hot: the placement driver. (Raw commands have a codec of their own.)
 *
 * INVARIANTS
 * - Integers are plain numbers. A uint64 above 2^53-1 is refused in both directions, through the
 *   one gateway of base/bytes. An int64 carries times and counters, never ids: the nanoseconds of
 *   metapb.Store.last_heartbeat lie above 2^53 and lose their last bits.
 * - Unknown fields are skipped. Bytes are views into what was decoded: copy what is kept.
 * - protobufjs is left as it is (no global reconfiguration): another user of it in the process
 *   notices nothing.
 */
import { readFileSync } from 'node:fs'
import protobuf from 'protobufjs'
import { assert } from '../base/assert.ts'
import { EMPTY_BYTES, wordsToU64 } from '../base/bytes.ts'

const FILES = [
  'metapb.proto',
  'pdpb.proto',
  'meta_storagepb.proto',
  'polyraftpb.proto',
  'polyraft_admin.proto',
] as const

const TWO_32 = 0x1_0000_0000
/** A varint holds a u64 in ten bytes at most. */
const VARINT_BYTES_MAX = 10

export interface MessageCodec<T> {
  encode(message: T): Buffer
  decode(bytes: Uint8Array): T
}

/** What the generated codecs call; typed here, as protobufjs promises Long for these. */
interface ReaderBase {
  buf: Uint8Array
  pos: number
  len: number
  discardUnknown: boolean
  uint32(): number
}
interface WriterBase {
  uint64(value: unknown): this
  uint64s(values: unknown): this
  finish(): Uint8Array
}
const ReaderClass = protobuf.BufferReader as unknown as new (bytes: Buffer) => ReaderBase
const WriterClass = protobuf.BufferWriter as unknown as new () => WriterBase

class NumberReader extends ReaderClass {
  #high = 0
  #low = 0

  constructor(bytes: Buffer) {
    super(bytes)
    this.discardUnknown = true
  }

  uint64(): number {
    this.#readVarint()
    return wordsToU64(this.#high, this.#low)
  }

  int64(): number {
    this.#readVarint()
    return (this.#high | 0) * TWO_32 + this.#low
  }

  uint64s(into: number[] = []): number[] {
    const end = this.uint32() + this.pos
    if (end > this.len) throw new RangeError(`packed field ends at ${end} of ${this.len}`)
    while (this.pos < end) into.push(this.uint64())
    return into
  }

  #readVarint(): void {
    let low = 0
    let high = 0
    for (let count = 0; count < VARINT_BYTES_MAX; count++) {
      if (this.pos >= this.len) throw new RangeError(`varint ends behind ${this.len}`)
      const byte = this.buf[this.pos++]!
      const bits = byte & 0x7f
      if (count < 5) low = (low | (bits << (7 * count))) >>> 0
      if (count === 4) high = bits >>> 4
      else if (count > 4) high = (high | (bits << (7 * count - 32))) >>> 0
      if (byte < 0x80) {
        this.#low = low
        this.#high = high
        return
      }
    }
    throw new RangeError('varint of more than ten bytes')
  }
}

class NumberWriter extends WriterClass {
  override uint64(value: unknown): this {
    return super.uint64(mustBeU64(value))
  }

  int64(value: unknown): this {
    assert(Number.isInteger(value), `not an integer: ${value}`)
    return super.uint64(value)
  }

  override uint64s(values: unknown): this {
    for (const value of values as readonly unknown[]) mustBeU64(value)
    return super.uint64s(values)
  }
}

/** Keys of a map arrive as decimal text. */
function mustBeU64(value: unknown): number {
  const number = typeof value === 'string' ? Number(value) : value
  assert(
    typeof number === 'number' && Number.isSafeInteger(number) && number >= 0,
    `not an unsigned safe integer: ${value}`,
  )
  return number
}

function loadRoot(): protobuf.Root {
  const root = new protobuf.Root()
  for (const file of FILES) {
    const text = readFileSync(new URL(`./proto/${file}`, import.meta.url), 'utf8')
    protobuf.parse(text, root, { keepCase: false })
  }
  root.resolveAll()
  return root
}

/** Absent integers and bytes read as 0 and empty, whether or not a Long library is installed. */
function setPlainDefaults(type: protobuf.Type): void {
  const prototype = type.ctor.prototype as unknown as Record<string, unknown>
  for (const field of type.fieldsArray) {
    if (field.repeated || field.map) continue
    if (field.type === 'uint64' || field.type === 'int64') prototype[field.name] = 0
    else if (field.type === 'bytes') prototype[field.name] = EMPTY_BYTES
  }
}

function forEachType(parent: protobuf.NamespaceBase, visit: (type: protobuf.Type) => void): void {
  for (const child of parent.nestedArray) {
    if (child instanceof protobuf.Type) visit(child)
    if (child instanceof protobuf.Namespace) forEachType(child, visit)
  }
}

let loaded: protobuf.Root | undefined

function protoRoot(): protobuf.Root {
  if (loaded === undefined) {
    loaded = loadRoot()
    forEachType(loaded, setPlainDefaults)
  }
  return loaded
}

/** Codec of a message by its full name; its code is generated at first use. */
export function messageCodec<T extends object>(name: string): MessageCodec<T> {
  let type: protobuf.Type | undefined
  const resolve = (): protobuf.Type => {
    type ??= protoRoot().lookupType(name)
    return type
  }
  return {
    encode: (message) =>
      resolve()
        .encode(message as protobuf.Message, new NumberWriter() as unknown as protobuf.Writer)
        .finish() as Buffer,
    decode: (bytes) => {
      const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      const reader = new NumberReader(buffer) as unknown as protobuf.Reader
      return resolve().decode(reader) as unknown as T
    },
  }
}
