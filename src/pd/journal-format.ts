/**
 * Bytes of PD's journal file. Little-endian:
 *
 *   file    := header record*
 *   header  := u32 magic | u32 version
 *   record  := u32 payload length | u32 sequence | u32 crc32c(payload)
 *              | u32 crc32c(the twelve bytes before) | payload
 *   payload := u32 n | n × (u8 1 | bytes key | bytes value  or  u8 0 | bytes key)
 *
 * Sequences count up from 0 without a gap. One record is one append, and the next append begins only
 * when the last one is on disk: so a crash can damage only the last record, in any of its bytes.
 * Damage with an intact record behind it is therefore no torn tail but corruption.
 */
import { ByteReader, ByteWriter } from '../base/codec.ts'
import { crc32c } from '../base/crc32c.ts'
import { PolyraftError } from '../base/errors.ts'
import type { PdWrite } from './storage.ts'

const MAGIC = 0x4c_44_50_52
const VERSION = 1
const RECORD_HEADER_BYTES = 16

export const FILE_HEADER: Buffer = new ByteWriter(8).u32(MAGIC).u32(VERSION).take()

export function encodeRecord(sequence: number, writes: readonly PdWrite[]): Buffer {
  const writer = new ByteWriter(1024)
  writer.u32(0).u32(sequence).u32(0).u32(0).u32(writes.length)
  for (const { key, value } of writes) {
    writer.u8(value === undefined ? 0 : 1).text(key)
    if (value !== undefined) writer.bytes(value)
  }
  const record = writer.take()
  const payload = record.subarray(RECORD_HEADER_BYTES)
  record.writeUInt32LE(payload.length, 0)
  record.writeUInt32LE(crc32c(payload), 8)
  record.writeUInt32LE(crc32c(record.subarray(0, 12)), 12)
  return record
}

/** Bytes of the intact record at `offset`, header included; 0 when there is none. */
function recordLength(file: Buffer, offset: number): number {
  if (file.length - offset < RECORD_HEADER_BYTES) return 0
  const header = file.subarray(offset, offset + 12)
  if (crc32c(header) !== file.readUInt32LE(offset + 12)) return 0
  const length = file.readUInt32LE(offset)
  const start = offset + RECORD_HEADER_BYTES
  if (length > file.length - start) return 0
  const intact = crc32c(file.subarray(start, start + length)) === file.readUInt32LE(offset + 8)
  return intact ? RECORD_HEADER_BYTES + length : 0
}

function hasRecordBehind(file: Buffer, offset: number): boolean {
  for (let at = offset + 1; at <= file.length - RECORD_HEADER_BYTES; at++) {
    if (recordLength(file, at) > 0) return true
  }
  return false
}

function decodeWrites(payload: Buffer, what: string): PdWrite[] {
  const reader = new ByteReader(payload, what)
  const writes: PdWrite[] = []
  for (let left = reader.u32(); left > 0; left--) {
    const put = reader.u8() === 1
    const key = reader.text()
    writes.push({ key, value: put ? Buffer.from(reader.bytes()) : undefined })
  }
  return writes
}

function corruption(path: string, offset: number, what: string): PolyraftError {
  return new PolyraftError(
    'Corruption',
    `${path} is damaged at offset ${offset}: ${what}; restore it from a copy, or start a new cluster`,
    { path, offset },
  )
}

export interface JournalContents {
  readonly records: readonly (readonly PdWrite[])[]
  /** Bytes up to the end of the last intact record. */
  readonly intactBytes: number
}

function mustHaveHeader(file: Buffer, path: string): void {
  if (file.length < FILE_HEADER.length || file.readUInt32LE(0) !== MAGIC) {
    throw corruption(path, 0, 'it does not begin as a PD journal')
  }
  const version = file.readUInt32LE(4)
  if (version === VERSION) return
  throw new PolyraftError(
    'DataDirMismatch',
    `${path} was written by another version of polyraft: it has format ${version}, this program ` +
      `reads ${VERSION}; use the version that wrote it`,
    { path, version },
  )
}

/** Reads a whole journal; a torn last record is left out, other damage throws Corruption. */
export function decodeJournal(file: Buffer, path: string): JournalContents {
  mustHaveHeader(file, path)
  const records: PdWrite[][] = []
  let offset = FILE_HEADER.length
  while (offset < file.length) {
    const length = recordLength(file, offset)
    if (length === 0) {
      if (hasRecordBehind(file, offset)) throw corruption(path, offset, 'bad record checksum')
      break
    }
    if (file.readUInt32LE(offset + 4) !== records.length) {
      throw corruption(path, offset, `record ${records.length} is missing`)
    }
    const payload = file.subarray(offset + RECORD_HEADER_BYTES, offset + length)
    records.push(decodeWrites(payload, `${path} at offset ${offset}`))
    offset += length
  }
  if (records.length === 0) throw corruption(path, offset, 'it has no intact record')
  return { records, intactBytes: offset }
}
