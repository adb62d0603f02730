/**
 * PdStorage in one journal file, `pd.log` (bytes: journal-format.ts). Its first record holds every
 * key; appends follow. At opening, and when appends outweigh the contents, the file is written anew
 * beside the old one and put in its place by rename, so at every moment one complete file exists.
 * Puts that arrive during a write share the next one, and its fsync.
 */
import { type FileHandle, open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { makeDataDir } from '../base/data-dir.ts'
import { errorMessage, PolyraftError, systemErrorCode } from '../base/errors.ts'
import { MIB } from '../base/limits.ts'
import type { Logger } from '../base/logger.ts'
import { decodeJournal, encodeRecord, FILE_HEADER } from './journal-format.ts'
import { applyWrites, type PdStorage, type PdWrite } from './storage.ts'

/** Appended bytes that are worth a rewrite, when they are also several times the contents. */
const REWRITE_BYTES_MIN = 4 * MIB
const REWRITE_FACTOR = 4

interface Waiter {
  readonly writes: readonly PdWrite[]
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

export class FilePdStorage implements PdStorage {
  readonly #dir: string
  readonly #path: string
  readonly #map: Map<string, Buffer>
  #file: FileHandle
  #sequence = 1
  /** Size of the file right after it was written anew, and now. */
  #baseBytes: number
  #bytes: number
  #waiting: Waiter[] = []
  #writing: Promise<void> | undefined
  #broken: PolyraftError | undefined
  #closed = false
  #syncs = 0
  #rewrites = 1

  private constructor(dir: string, map: Map<string, Buffer>, fresh: FreshJournal) {
    this.#dir = dir
    this.#path = join(dir, 'pd.log')
    this.#map = map
    this.#file = fresh.file
    this.#baseBytes = fresh.bytes
    this.#bytes = fresh.bytes
  }

  static async open(dir: string, logger: Logger): Promise<FilePdStorage> {
    await makeDataDir(dir)
    try {
      const map = await readJournal(join(dir, 'pd.log'), logger)
      return new FilePdStorage(dir, map, await writeJournal(dir, map))
    } catch (error) {
      throw error instanceof PolyraftError ? error : unusable(dir, error)
    }
  }

  get healthy(): boolean {
    return this.#broken === undefined
  }

  entries(): Iterable<readonly [string, Buffer]> {
    return this.#map
  }

  put(writes: readonly PdWrite[]): Promise<void> {
    if (this.#broken !== undefined) return Promise.reject(this.#broken)
    if (this.#closed) return Promise.reject(new PolyraftError('Closed', 'the PD is closed'))
    return new Promise((resolve, reject) => {
      this.#waiting.push({ writes, resolve, reject })
      this.#writing ??= this.#writeWaiting()
    })
  }

  stats(): Record<string, number> {
    return {
      records: this.#map.size,
      file_bytes: this.#bytes,
      syncs: this.#syncs,
      rewrites: this.#rewrites,
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#writing
    await this.#file.close()
  }

  async #writeWaiting(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#waiting
      this.#waiting = []
      await this.#writeGroup(group)
    }
    this.#writing = undefined
  }

  async #writeGroup(group: readonly Waiter[]): Promise<void> {
    try {
      if (this.#broken !== undefined) throw this.#broken
      const writes = group.flatMap((waiter) => waiter.writes)
      await this.#append(encodeRecord(this.#sequence, writes))
      applyWrites(this.#map, writes)
      for (const waiter of group) waiter.resolve()
      await this.#maybeRewrite()
    } catch (error) {
      this.#broken ??= brokenError(this.#path, error)
      for (const waiter of group) waiter.reject(this.#broken)
    }
  }

  async #append(record: Buffer): Promise<void> {
    await writeFully(this.#file, record)
    await this.#file.datasync()
    this.#sequence++
    this.#syncs++
    this.#bytes += record.length
  }

  async #maybeRewrite(): Promise<void> {
    const appended = this.#bytes - this.#baseBytes
    if (appended < REWRITE_BYTES_MIN || appended < REWRITE_FACTOR * this.#baseBytes) return
    const fresh = await writeJournal(this.#dir, this.#map)
    await this.#file.close()
    this.#file = fresh.file
    this.#bytes = fresh.bytes
    this.#baseBytes = fresh.bytes
    this.#sequence = 1
    this.#rewrites++
  }
}

function unusable(dir: string, error: unknown): PolyraftError {
  return new PolyraftError(
    'DataDirUnusable',
    `cannot use ${dir} as the PD's data directory: ${errorMessage(error)}`,
    { dir },
    { cause: error },
  )
}

interface FreshJournal {
  /** Positioned behind its only record. */
  readonly file: FileHandle
  readonly bytes: number
}

async function readJournal(path: string, logger: Logger): Promise<Map<string, Buffer>> {
  const map = new Map<string, Buffer>()
  let bytes: Buffer
  try {
    bytes = await readFile(path)
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return map
    throw error
  }
  const { records, intactBytes } = decodeJournal(bytes, path)
  for (const writes of records) applyWrites(map, writes)
  if (intactBytes < bytes.length) {
    const cutBytes = bytes.length - intactBytes
    logger.warn({ path, offset: intactBytes, cutBytes }, 'cut a torn tail: its write never ended')
  }
  return map
}

/** Puts a journal with the contents of `map` in the place of the present one. */
async function writeJournal(dir: string, map: Map<string, Buffer>): Promise<FreshJournal> {
  const writes: PdWrite[] = []
  for (const [key, value] of map) writes.push({ key, value })
  const bytes = Buffer.concat([FILE_HEADER, encodeRecord(0, writes)])
  const fresh = join(dir, 'pd.log.tmp')
  await rm(fresh, { force: true })
  const file = await open(fresh, 'wx')
  await writeFully(file, bytes)
  await file.sync()
  await rename(fresh, join(dir, 'pd.log'))
  await syncDirectory(dir)
  return { file, bytes: bytes.length }
}

async function writeFully(file: FileHandle, bytes: Buffer): Promise<void> {
  let written = 0
  while (written < bytes.length) {
    const result = await file.write(bytes, written, bytes.length - written)
    written += result.bytesWritten
  }
}

async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function brokenError(path: string, error: unknown): PolyraftError {
  return new PolyraftError(
    'DiskError',
    `cannot write ${path}: ${errorMessage(error)}; free or repair the disk and restart the PD`,
    { path },
    { cause: error },
  )
}
