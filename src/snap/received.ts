/**
 * A snapshot set on its way in: files are written as they come, in order, and the set becomes valid
 * only when all of it is there, right and on disk.
 */
import { crc32c } from '../base/crc32c.ts'
import type { FileHandle, FileSystem } from '../env/port.ts'
import { commitMeta, removeSnapshot, UNSYNCED_BYTES_MAX } from './files.ts'
import { corrupt, filePath, type SnapshotMeta, snapshotName } from './format.ts'

export class ReceivedSnapshot {
  readonly #fs: FileSystem
  readonly #dir: string
  readonly #meta: SnapshotMeta
  readonly #name: string
  #file = 0
  #handle: FileHandle | undefined = undefined
  #bytes = 0
  #crc = 0
  #unsynced = 0

  constructor(fs: FileSystem, dir: string, meta: SnapshotMeta) {
    this.#fs = fs
    this.#dir = dir
    this.#meta = meta
    this.#name = snapshotName('rev', meta)
    // What an interrupted transfer left: it begins anew.
    removeSnapshot(fs, dir, this.#name)
  }

  /** The next bytes of the file of this number; they may not cross into another. Throws Corruption. */
  write(file: number, offset: number, bytes: Buffer): void {
    const wanted = this.#meta.files[this.#file]
    const fits = wanted !== undefined && offset + bytes.length <= wanted.bytes
    if (file !== this.#file || offset !== this.#bytes || !fits) {
      throw corrupt(`a chunk of file ${file} at ${offset} out of order`)
    }
    this.#handle ??= this.#fs.open(filePath(this.#dir, this.#name, wanted), 'create')
    this.#handle.write(bytes, offset)
    this.#bytes += bytes.length
    this.#crc = crc32c(bytes, this.#crc)
    this.#unsynced += bytes.length
    if (this.#bytes === wanted.bytes) this.#closeFile()
    else if (this.#unsynced >= UNSYNCED_BYTES_MAX) this.#syncSoFar()
  }

  /** Everything was written: makes the set durable and valid. Throws Corruption. */
  finish(): void {
    const { files } = this.#meta
    if (this.#file !== files.length) {
      throw corrupt(`${files.length - this.#file} of ${files.length} files did not come whole`)
    }
    commitMeta(this.#fs, this.#dir, this.#name, this.#meta)
  }

  abort(): void {
    this.#handle?.close()
    this.#handle = undefined
    removeSnapshot(this.#fs, this.#dir, this.#name)
  }

  #syncSoFar(): void {
    this.#handle!.datasync()
    this.#unsynced = 0
  }

  #closeFile(): void {
    const handle = this.#handle!
    const { crc } = this.#meta.files[this.#file]!
    if (this.#crc !== crc) throw corrupt(`file ${this.#file} came with a wrong checksum`)
    handle.sync()
    handle.close()
    this.#handle = undefined
    this.#file++
    this.#bytes = 0
    this.#crc = 0
    this.#unsynced = 0
  }
}
