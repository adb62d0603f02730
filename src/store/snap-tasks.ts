/**
 * Everything about snapshots that waits for a disk, apart from building them: the work of the
 * snapshot worker, free of threads.
 *
 * INVARIANTS
 * - What is asked for is done at once and in that order; only ingesting lets others in between its
 *   batches, by pause().
 * - After stop() an ingestion ends between two batches; the next start begins it anew.
 */
import { unreachable } from '../base/assert.ts'
import { asBuffer } from '../base/bytes.ts'
import { PolyraftError } from '../base/errors.ts'
import type { RegionId } from '../base/ids.ts'
import type { KvEngine } from '../engine/port.ts'
import type { FileSystem } from '../env/port.ts'
import type { SnapshotState, Tombstone } from '../region/state.ts'
import { buryReplica } from '../snap/bury.ts'
import { removeFiles, removeSnapshot } from '../snap/files.ts'
import { decodeMeta, filePath, snapshotName } from '../snap/format.ts'
import { SnapshotInstaller } from '../snap/installer.ts'
import { ReceivedSnapshot } from '../snap/received.ts'
import { CHUNK_HEADROOM_BYTES } from '../transport/snapshot-stream.ts'

/** Metas travel encoded. `transfer` numbers what is being received. */
export type SnapRequest =
  | { readonly op: 'begin'; readonly transfer: number; readonly meta: Uint8Array }
  | {
      readonly op: 'write'
      readonly transfer: number
      readonly file: number
      readonly offset: number
      readonly bytes: Uint8Array
    }
  | { readonly op: 'finish' | 'abort'; readonly transfer: number }
  | {
      readonly op: 'read'
      readonly meta: Uint8Array
      readonly file: number
      readonly offset: number
      readonly length: number
    }
  | { readonly op: 'record'; readonly meta: Uint8Array; readonly state: SnapshotState }
  | { readonly op: 'ingest'; readonly meta: Uint8Array }
  | { readonly op: 'complete'; readonly meta: Uint8Array }
  | { readonly op: 'remove'; readonly name: string }
  /** An ingestion of this region that is under way, or comes next, ends with Cancelled. */
  | { readonly op: 'cancel'; readonly regionId: RegionId }
  | { readonly op: 'bury'; readonly tombstone: Tombstone }
  /** Answers the names of all files, a line each. */
  | { readonly op: 'list' }
  | { readonly op: 'remove-files'; readonly files: readonly string[] }

export type SnapAnswer = Uint8Array | undefined

/** The tasks as the store calls them: in a thread of their own, or in a simulated one. */
export interface SnapCalls {
  /** Moves the buffers of `transfer` with the request; `onProgress` hears of bytes done on the way. */
  call(
    request: SnapRequest,
    transfer?: readonly ArrayBuffer[],
    onProgress?: (bytes: number) => void,
  ): Promise<SnapAnswer>
  /** Every call settles; resolves when the engine is not used any more. */
  close(): Promise<void>
}

export interface SnapTasksOptions {
  readonly engine: KvEngine
  readonly fs: FileSystem
  readonly dir: string
  /** Between two batches of an ingestion, of the batch's bytes. */
  readonly pause: (bytes: number) => Promise<void>
}

export class SnapTasks {
  readonly #options: SnapTasksOptions
  readonly #transfers = new Map<number, ReceivedSnapshot>()
  readonly #cancelled = new Set<RegionId>()
  #stopping = false
  #ingesting = 0

  constructor(options: SnapTasksOptions) {
    this.#options = options
  }

  /** No ingestion is under way. */
  get idle(): boolean {
    return this.#ingesting === 0
  }

  stop(): void {
    this.#stopping = true
  }

  /** Throws, or rejects, with what went wrong. */
  run(
    request: SnapRequest,
    onProgress: (bytes: number) => void = () => {},
  ): SnapAnswer | Promise<undefined> {
    const { fs, dir } = this.#options
    switch (request.op) {
      case 'begin': {
        const meta = decodeMeta(asBuffer(request.meta))
        this.#transfers.set(request.transfer, new ReceivedSnapshot(fs, dir, meta))
        return undefined
      }
      case 'write': {
        const { file, offset, bytes } = request
        this.#mustFind(request.transfer).write(file, offset, asBuffer(bytes))
        return undefined
      }
      case 'finish':
        this.#mustFind(request.transfer).finish()
        this.#transfers.delete(request.transfer)
        return undefined
      case 'abort':
        this.#transfers.get(request.transfer)?.abort()
        this.#transfers.delete(request.transfer)
        return undefined
      case 'read':
        return this.#read(request)
      case 'record':
        this.#installer(request.meta).record(request.state)
        return undefined
      case 'ingest':
        return this.#ingest(request.meta, onProgress)
      case 'complete':
        this.#installer(request.meta).finish()
        return undefined
      case 'remove':
        removeSnapshot(fs, dir, request.name)
        return undefined
      case 'cancel':
        this.#cancelled.add(request.regionId)
        return undefined
      case 'bury':
        this.#cancelled.delete(request.tombstone.region.id)
        buryReplica(this.#options.engine, ownBytes(request.tombstone))
        return undefined
      case 'list':
        return Buffer.from(fs.list(dir).join('\n'))
      case 'remove-files':
        removeFiles(fs, dir, request.files)
        return undefined
      default:
        return unreachable(request)
    }
  }

  #read({ meta, file, offset, length }: Extract<SnapRequest, { op: 'read' }>): Uint8Array {
    const { fs, dir } = this.#options
    const decoded = decodeMeta(asBuffer(meta))
    const path = filePath(dir, snapshotName('gen', decoded), decoded.files[file]!)
    const handle = fs.open(path, 'read')
    try {
      const memory = Buffer.allocUnsafeSlow(CHUNK_HEADROOM_BYTES + length)
      const bytes = memory.subarray(CHUNK_HEADROOM_BYTES)
      const count = handle.read(bytes, offset)
      if (count < length) throw new PolyraftError('Corruption', 'a snapshot file became shorter')
      return bytes
    } finally {
      handle.close()
    }
  }

  async #ingest(meta: Uint8Array, onProgress: (bytes: number) => void): Promise<undefined> {
    const work = this.#installer(meta)
    const regionId = decodeMeta(asBuffer(meta)).region.id
    this.#ingesting++
    try {
      work.clear()
      for (let before = 0; !work.step(); before = work.bytes) {
        onProgress(work.bytes - before)
        await this.#options.pause(work.bytes - before)
        if (this.#stopping) throw new PolyraftError('Closed', 'the store stops')
        if (this.#cancelled.has(regionId)) {
          throw new PolyraftError('Cancelled', 'the replica goes')
        }
      }
    } finally {
      work.close()
      this.#ingesting--
    }
  }

  #installer(meta: Uint8Array): SnapshotInstaller {
    const { engine, fs, dir } = this.#options
    return new SnapshotInstaller(engine, fs, dir, decodeMeta(asBuffer(meta)))
  }

  #mustFind(transfer: number): ReceivedSnapshot {
    const found = this.#transfers.get(transfer)
    if (found === undefined) throw new PolyraftError('Closed', 'the transfer was given up')
    return found
  }
}

/** Buffers come through a message as plain arrays. */
function ownBytes(tombstone: Tombstone): Tombstone {
  const { region } = tombstone
  const startKey = asBuffer(region.startKey)
  const endKey = asBuffer(region.endKey)
  return { ...tombstone, region: { ...region, startKey, endKey } }
}
