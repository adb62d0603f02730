/**
 * Space set aside in a file, for the day on which the disk is full: RocksDB needs about the size of
 * its WAL to open again after that, and so does an operator who wants to move data away.
 *
 * INVARIANTS
 * - The file's space is really taken: its bytes are written, and not all alike, so that neither holes
 *   nor a compressing file system fake it.
 * - hold() never takes the last space: it stops where less than `keepFreeBytes` would be left.
 */
import { join } from 'node:path'
import { systemErrorCode } from '../base/errors.ts'
import { MIB } from '../base/limits.ts'
import type { DiskProbe } from './disk-space.ts'
import type { FileHandle, FileSystem } from './port.ts'

export const RESERVE_FILE = 'reserve'
const CHUNK_BYTES = MIB

export class SpaceReserve {
  readonly #fs: FileSystem
  readonly #probe: DiskProbe
  readonly #directory: string
  readonly #path: string

  constructor(fs: FileSystem, probe: DiskProbe, directory: string) {
    this.#fs = fs
    this.#probe = probe
    this.#directory = directory
    this.#path = join(directory, RESERVE_FILE)
  }

  /** Bytes held now. */
  heldBytes(): number {
    if (!this.#fs.exists(this.#path)) return 0
    const file = this.#fs.open(this.#path, 'read')
    try {
      return file.size()
    } finally {
      file.close()
    }
  }

  /**
   * Makes the file `bytes` long, or as long as the disk allows; answers its length. Writes one
   * mebibyte after another on the calling thread: for start-up.
   */
  hold(bytes: number, keepFreeBytes: number): number {
    const file = this.#fs.open(this.#path, this.#fs.exists(this.#path) ? 'read-write' : 'create')
    try {
      if (file.size() > bytes) file.truncate(bytes)
      else this.#extend(file, bytes, keepFreeBytes)
      file.sync()
      this.#fs.syncDirectory(this.#directory)
      return file.size()
    } finally {
      file.close()
    }
  }

  /** Gives the space back; answers how much it was. */
  release(): number {
    const bytes = this.heldBytes()
    if (!this.#fs.exists(this.#path)) return 0
    this.#fs.remove(this.#path)
    this.#fs.syncDirectory(this.#directory)
    return bytes
  }

  #extend(file: FileHandle, bytes: number, keepFreeBytes: number): void {
    const chunk = pattern()
    let end = file.size()
    while (end < bytes) {
      const length = Math.min(CHUNK_BYTES, bytes - end)
      const { freeBytes } = this.#probe.measure(this.#directory)
      if (freeBytes < keepFreeBytes + length) return
      try {
        file.write(chunk.subarray(0, length), end)
      } catch (error) {
        if (systemErrorCode(error) !== 'ENOSPC' && systemErrorCode(error) !== 'EDQUOT') throw error
        file.truncate(end)
        return
      }
      end += length
    }
  }
}

/** A linear congruential sequence: no compressor makes much of it. */
function pattern(): Uint8Array {
  const words = new Uint32Array(CHUNK_BYTES / 4)
  let word = 1
  for (let i = 0; i < words.length; i++) {
    word = (Math.imul(word, 1664525) + 1013904223) >>> 0
    words[i] = word
  }
  return new Uint8Array(words.buffer)
}
