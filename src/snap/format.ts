/**
 * What a region snapshot is on disk, in `<data-dir>/snap/`. Little-endian.
 *
 *   gen_<region>_<term>_<index>.meta               made here, for others
 *   rev_<region>_<term>_<index>.meta               received
 *   gen_…_<column family>_<part>.rows              the data, in parts of bounded size
 *
 *   rows file  := "plyS" | u8 version=1 | u8 column family | u16 0 | block*
 *   block      := u32 length | u32 crc32c(rows) | rows[length]
 *   rows       := (u32 key length | key | u32 value length | value)*
 *   meta       := "plyM" | u8 version=1 | u64 index | u64 term | bytes region
 *                 | u32 n | n × (u8 column family | u32 part | u64 bytes | u64 rows | u32 crc32c)
 *                 | u32 crc32c(everything before)
 *
 * The meta is written last, through a temporary name: files without it are waste.
 */
import { join } from 'node:path'
import { ByteReader, ByteWriter } from '../base/codec.ts'
import { crc32c } from '../base/crc32c.ts'
import { PolyraftError } from '../base/errors.ts'
import type { LogIndex, RegionId, Term } from '../base/ids.ts'
import { MIB } from '../base/limits.ts'
import type { ColumnFamily } from '../engine/port.ts'
import type { Region } from '../region/region.ts'
import { readRegion, writeRegion } from '../region/state.ts'

const META_MAGIC = 0x4d796c70
const FILE_MAGIC = 0x53796c70
const VERSION = 1
export const FILE_HEADER_BYTES = 8
export const BLOCK_HEADER_BYTES = 8
/** A block ends with the row that reaches this: rows are as large as a value may be. */
export const BLOCK_BYTES = MIB / 8
/** No block is longer, whatever a damaged header says. */
export const BLOCK_BYTES_MAX = 64 * MIB

export interface SnapshotFile {
  readonly cf: ColumnFamily
  readonly part: number
  readonly bytes: number
  readonly rows: number
  readonly crc: number
}

export interface SnapshotMeta {
  readonly region: Region
  /** The data is what applying everything up to here made it. */
  readonly index: LogIndex
  readonly term: Term
  readonly files: readonly SnapshotFile[]
}

/** Made here, or received. */
export type SnapshotOrigin = 'gen' | 'rev'

export function snapshotBytes(meta: SnapshotMeta): number {
  return meta.files.reduce((sum, { bytes }) => sum + bytes, 0)
}

/** What the names of a set begin with. */
export function snapshotName(
  origin: SnapshotOrigin,
  { region, term, index }: Pick<SnapshotMeta, 'region' | 'term' | 'index'>,
): string {
  return `${origin}_${region.id}_${term}_${index}`
}

export interface SetFile {
  readonly origin: SnapshotOrigin
  readonly regionId: RegionId
  /** Of the set. */
  readonly name: string
}

/** The set that a file of this name belongs to; undefined for what is none of ours. */
export function parseSetFile(file: string): SetFile | undefined {
  const found = /^((gen|rev)_(\d+)_\d+_\d+)[._]/.exec(file)
  if (found === null) return undefined
  return {
    origin: found[2] as SnapshotOrigin,
    regionId: Number(found[3]),
    name: found[1]!,
  }
}

export function metaPath(dir: string, name: string): string {
  return join(dir, `${name}.meta`)
}

export function filePath(
  dir: string,
  name: string,
  { cf, part }: Pick<SnapshotFile, 'cf' | 'part'>,
): string {
  return join(dir, `${name}_${cf}_${part}.rows`)
}

export function encodeMeta(meta: SnapshotMeta): Buffer {
  const region = new ByteWriter(128)
  writeRegion(region, meta.region)
  const writer = new ByteWriter(256).u32(META_MAGIC).u8(VERSION).u64(meta.index).u64(meta.term)
  writer.bytes(region.view()).u32(meta.files.length)
  for (const { cf, part, bytes, rows, crc } of meta.files) {
    writer.u8(cf).u32(part).u64(bytes).u64(rows).u32(crc)
  }
  return writer.u32(crc32c(writer.view())).take()
}

export function decodeMeta(bytes: Buffer): SnapshotMeta {
  const sumAt = bytes.length - 4
  if (sumAt < 0 || bytes.readUInt32LE(sumAt) !== crc32c(bytes.subarray(0, sumAt))) {
    throw corrupt('meta with a wrong checksum')
  }
  const reader = new ByteReader(bytes.subarray(0, sumAt), 'snapshot meta')
  mustBe(reader.u32(), META_MAGIC, 'meta')
  const version = reader.u8()
  if (version !== VERSION) throw corrupt(`meta of version ${version}, ${VERSION} is read here`)
  const index = reader.u64()
  const term = reader.u64()
  const region = readRegion(new ByteReader(reader.bytes(), 'snapshot meta: region'))
  const files: SnapshotFile[] = []
  for (let left = reader.u32(); left > 0; left--) {
    const cf = reader.u8() as ColumnFamily
    const part = reader.u32()
    files.push({ cf, part, bytes: reader.u64(), rows: reader.u64(), crc: reader.u32() })
  }
  if (reader.remaining !== 0) throw corrupt(`meta with ${reader.remaining} bytes too many`)
  return { region, index, term, files }
}

export function encodeFileHeader(cf: ColumnFamily): Buffer {
  return new ByteWriter(FILE_HEADER_BYTES).u32(FILE_MAGIC).u8(VERSION).u8(cf).u16(0).take()
}

export function checkFileHeader(bytes: Buffer, cf: ColumnFamily): void {
  mustBe(bytes.readUInt32LE(0), FILE_MAGIC, 'rows file')
  if (bytes[4] !== VERSION || bytes[5] !== cf) throw corrupt('rows file of another kind')
}

/** key, value, key, value, … as one block. */
export function encodeBlock(rows: readonly Buffer[]): Buffer {
  let length = 0
  for (let i = 0; i < rows.length; i++) length += 4 + rows[i]!.length
  const block = Buffer.allocUnsafe(BLOCK_HEADER_BYTES + length)
  let at = BLOCK_HEADER_BYTES
  for (let i = 0; i < rows.length; i++) {
    at = block.writeUInt32LE(rows[i]!.length, at)
    block.set(rows[i]!, at)
    at += rows[i]!.length
  }
  block.writeUInt32LE(length, 0)
  block.writeUInt32LE(crc32c(block.subarray(BLOCK_HEADER_BYTES)), 4)
  return block
}

/** Calls `row` for each row of a block's payload, whose checksum was found right. */
export function readRows(payload: Buffer, row: (key: Buffer, value: Buffer) => void): void {
  const reader = new ByteReader(payload, 'snapshot block')
  while (reader.remaining > 0) row(reader.bytes(), reader.bytes())
}

export function corrupt(what: string): PolyraftError {
  return new PolyraftError('Corruption', `snapshot: ${what}`)
}

function mustBe(magic: number, wanted: number, what: string): void {
  if (magic !== wanted) throw corrupt(`not a ${what}: magic 0x${magic.toString(16)}`)
}
