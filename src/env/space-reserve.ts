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
   * Brings the file nearer to `bytes`, by at most `stepBytes`, as far as the disk allows; answers its
   * length. Nothing is fsynced: a write takes its space at once, and what a crash leaves of the file
   * is made up for later. So a step on the main thread is a copy into the page cache.
   */
  hold(bytes: number, keepFreeBytes: number, stepBytes = Number.POSITIVE_INFINITY): number {
    const isThere = this.#fs.exists(this.#path)
    if (bytes === 0) {
      if (isThere) this.#fs.remove(this.#path)
      return 0
    }
    const file = this.#fs.open(this.#path, isThere ? 'read-write' : 'create')
    try {
      const size = file.size()
      if (size > bytes) file.truncate(bytes)
      else this.#extend(file, Math.min(bytes, size + stepBytes), keepFreeBytes)
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
    return bytes
  }

  #extend(file: FileHandle, bytes: number, keepFreeBytes: number): void {
    let end = file.size()
    while (end < bytes) {
      const length = Math.min(CHUNK_BYTES, bytes - end)
      const { freeBytes } = this.#probe.measure(this.#directory)
      if (freeBytes < keepFreeBytes + length) return
      try {
        file.write(noise(length, end), end)
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
function noise(length: number, seed: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4))
  let word = seed >>> 0
  for (let i = 0; i < words.length; i++) {
    word = (Math.imul(word, 1664525) + 1013904223) >>> 0
    words[i] = word
  }
  return new Uint8Array(words.buffer, 0, length)
}
