/**
 * Writes a region's data to a snapshot set, block by block, from cursors that were opened while the
 * region did not apply: whoever drives it lets other work in between steps.
 *
 * INVARIANTS
 * - All families are seen at one moment, that of construction.
 * - A set is valid only when the last step is done; one that is given up leaves no file.
 *
 * Files are not fsynced: after a crash of this process or machine nobody asks for them any more, and
 * a start removes them.
 */
import { crc32c } from '../base/crc32c.ts'
import type { LogIndex, Term } from '../base/ids.ts'
import { MIB } from '../base/limits.ts'
import { ColumnFamily, type KvCursor, type KvReader } from '../engine/port.ts'
import type { FileHandle, FileSystem } from '../env/port.ts'
import { dataEndKey, dataKey } from '../region/keys.ts'
import type { Region } from '../region/region.ts'
import { commitMeta, removeSnapshot } from './files.ts'
import {
  BLOCK_BYTES,
  encodeBlock,
  encodeFileHeader,
  filePath,
  type SnapshotFile,
  type SnapshotMeta,
  snapshotName,
} from './format.ts'

export const SNAPSHOT_FAMILIES = [
  ColumnFamily.Default,
  ColumnFamily.Lock,
  ColumnFamily.Write,
] as const
const FILE_BYTES_MAX = 100 * MIB

export interface SnapshotPin {
  readonly region: Region
  readonly index: LogIndex
  readonly term: Term
}

export interface BuilderOptions {
  readonly engine: Pick<KvReader, 'openCursor'>
  readonly fs: FileSystem
  readonly dir: string
  readonly pin: SnapshotPin
  readonly sizes?: BuildSizes
}

export interface BuildSizes {
  /** At which a block ends. Default: 128 KiB. */
  readonly blockBytes?: number
  /** At which a file is closed. Default: 100 MiB. */
  readonly fileBytesMax?: number
}

interface OpenFile {
  readonly handle: FileHandle
  readonly cf: ColumnFamily
  readonly part: number
  bytes: number
  rows: number
  crc: number
}

export class SnapshotBuilder {
  readonly #fs: FileSystem
  readonly #dir: string
  readonly #name: string
  readonly #pin: SnapshotPin
  readonly #blockBytes: number
  readonly #fileBytesMax: number
  readonly #cursors: KvCursor[] = []
  readonly #files: SnapshotFile[] = []
  #family = 0
  #part = 0
  #bytes = 0
  #file: OpenFile | undefined = undefined

  constructor(options: BuilderOptions) {
    const { engine, fs, dir, pin } = options
    this.#fs = fs
    this.#dir = dir
    this.#pin = pin
    this.#name = snapshotName('gen', pin)
    this.#blockBytes = options.sizes?.blockBytes ?? BLOCK_BYTES
    this.#fileBytesMax = options.sizes?.fileBytesMax ?? FILE_BYTES_MAX
    const start = dataKey(pin.region.startKey)
    const end = dataEndKey(pin.region.endKey)
    for (const cf of SNAPSHOT_FAMILIES) this.#cursors.push(engine.openCursor(cf, start, end))
  }

  /** Written so far. */
  get bytes(): number {
    return this.#bytes
  }

  /** Writes one block; the meta when the set is complete. */
  async step(): Promise<SnapshotMeta | undefined> {
    const cursor = this.#cursors[this.#family]
    if (cursor === undefined) return this.#finish()
    const { rows, complete } = await cursor.next(this.#blockBytes)
    if (rows.length > 0) this.#writeBlock(SNAPSHOT_FAMILIES[this.#family]!, rows)
    if (complete) this.#nextFamily()
    else if (this.#file!.bytes >= this.#fileBytesMax) this.#closeFile()
    return undefined
  }

  /** Gives up; not while a step runs. */
  abort(): void {
    for (const cursor of this.#cursors) cursor.close()
    this.#file?.handle.close()
    this.#file = undefined
    removeSnapshot(this.#fs, this.#dir, this.#name)
  }

  #writeBlock(cf: ColumnFamily, rows: readonly Buffer[]): void {
    this.#file ??= this.#openFile(cf)
    const file = this.#file
    this.#append(file, encodeBlock(rows))
    file.rows += rows.length / 2
  }

  #openFile(cf: ColumnFamily): OpenFile {
    const part = this.#part++
    const path = filePath(this.#dir, this.#name, { cf, part })
    // Left over from a set of the same name that was given up on the way.
    if (this.#fs.exists(path)) this.#fs.remove(path)
    const handle = this.#fs.open(path, 'create')
    const file: OpenFile = { handle, cf, part, bytes: 0, rows: 0, crc: 0 }
    this.#append(file, encodeFileHeader(cf))
    return file
  }

  #append(file: OpenFile, bytes: Buffer): void {
    file.handle.write(bytes, file.bytes)
    file.bytes += bytes.length
    this.#bytes += bytes.length
    file.crc = crc32c(bytes, file.crc)
  }

  #closeFile(): void {
    const file = this.#file
    if (file === undefined) return
    const { cf, part, bytes, rows, crc } = file
    file.handle.close()
    this.#files.push({ cf, part, bytes, rows, crc })
    this.#file = undefined
  }

  #nextFamily(): void {
    this.#closeFile()
    this.#cursors[this.#family]!.close()
    this.#family++
    this.#part = 0
  }

  #finish(): SnapshotMeta {
    const meta = { ...this.#pin, files: this.#files }
    commitMeta(this.#fs, this.#dir, this.#name, meta)
    return meta
  }
}
