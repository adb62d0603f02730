/**
 * Entry of the snapshot worker thread: everything about snapshots that waits for a disk, apart from
 * building them. Requests come with a number, each is answered once under it.
 *
 * INVARIANTS
 * - Requests run in the order in which they came; only ingesting lets others in between its batches.
 * - On 'close' an ingestion stops between two batches (it begins anew after the next start); then the
 *   engine is detached, and the thread ends by itself.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { assert, unreachable } from '../base/assert.ts'
import { asBuffer } from '../base/bytes.ts'
import { errorMessage, PolyraftError, systemErrorCode } from '../base/errors.ts'
import type { RegionId } from '../base/ids.ts'
import { attachRocksDb } from '../engine/rocksdb-engine.ts'
import { nodeFileSystem as fs } from '../env/node-fs.ts'
import type { SnapshotState, Tombstone } from '../region/state.ts'
import { buryReplica } from '../snap/bury.ts'
import { removeSnapshot } from '../snap/files.ts'
import { decodeMeta, filePath, snapshotName } from '../snap/format.ts'
import { SnapshotInstaller } from '../snap/installer.ts'
import { ReceivedSnapshot } from '../snap/received.ts'

export interface SnapWorkerData {
  readonly engineHandle: bigint
  readonly dir: string
}

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

export interface SnapReply {
  readonly id: number
  readonly value: Uint8Array | undefined
  readonly error: { readonly code: string; readonly message: string } | undefined
}

const port = parentPort
assert(port !== null, 'the snapshot worker runs in a thread')
const { engineHandle, dir } = workerData as SnapWorkerData
const engine = await attachRocksDb(engineHandle)
const transfers = new Map<number, ReceivedSnapshot>()
const cancelled = new Set<RegionId>()
let closing = false
let ingesting = 0

port.on('message', (message: { id: number; request: SnapRequest } | 'close') => {
  if (message === 'close') {
    closing = true
    maybeFinish()
    return
  }
  const { id, request } = message
  if (request.op === 'ingest') {
    ingest(request.meta).then(
      () => reply(id, undefined),
      (error: unknown) => replyError(id, error),
    )
    return
  }
  try {
    reply(id, run(request))
  } catch (error) {
    replyError(id, error)
  }
})

function run(request: Exclude<SnapRequest, { op: 'ingest' }>): Uint8Array | undefined {
  switch (request.op) {
    case 'begin': {
      const meta = decodeMeta(asBuffer(request.meta))
      transfers.set(request.transfer, new ReceivedSnapshot(fs, dir, meta))
      return undefined
    }
    case 'write':
      mustFind(request.transfer).write(request.file, request.offset, asBuffer(request.bytes))
      return undefined
    case 'finish':
      mustFind(request.transfer).finish()
      transfers.delete(request.transfer)
      return undefined
    case 'abort':
      transfers.get(request.transfer)?.abort()
      transfers.delete(request.transfer)
      return undefined
    case 'read':
      return read(request)
    case 'record':
      installer(request.meta).record(request.state)
      return undefined
    case 'complete':
      installer(request.meta).finish()
      return undefined
    case 'remove':
      removeSnapshot(fs, dir, request.name)
      return undefined
    case 'cancel':
      cancelled.add(request.regionId)
      return undefined
    case 'bury':
      cancelled.delete(request.tombstone.region.id)
      buryReplica(engine, ownBytes(request.tombstone))
      return undefined
    default:
      return unreachable(request)
  }
}

function read({ meta, file, offset, length }: Extract<SnapRequest, { op: 'read' }>): Uint8Array {
  const decoded = decodeMeta(asBuffer(meta))
  const handle = fs.open(filePath(dir, snapshotName('gen', decoded), decoded.files[file]!), 'read')
  try {
    const bytes = new Uint8Array(length)
    const count = handle.read(bytes, offset)
    if (count < length) throw new PolyraftError('Corruption', 'a snapshot file became shorter')
    return bytes
  } finally {
    handle.close()
  }
}

/** Buffers come through a message as plain arrays. */
function ownBytes(tombstone: Tombstone): Tombstone {
  const { region } = tombstone
  const startKey = asBuffer(region.startKey)
  const endKey = asBuffer(region.endKey)
  return { ...tombstone, region: { ...region, startKey, endKey } }
}

async function ingest(meta: Uint8Array): Promise<void> {
  const work = installer(meta)
  const regionId = decodeMeta(asBuffer(meta)).region.id
  ingesting++
  try {
    work.clear()
    while (!work.step()) {
      await new Promise((resolve) => setImmediate(resolve))
      if (closing) throw new PolyraftError('Closed', 'the store stops')
      if (cancelled.has(regionId)) throw new PolyraftError('Cancelled', 'the replica goes')
    }
  } finally {
    work.close()
    ingesting--
    maybeFinish()
  }
}

function installer(meta: Uint8Array): SnapshotInstaller {
  return new SnapshotInstaller(engine, fs, dir, decodeMeta(asBuffer(meta)))
}

function mustFind(transfer: number): ReceivedSnapshot {
  const found = transfers.get(transfer)
  if (found === undefined) throw new PolyraftError('Closed', 'the transfer was given up')
  return found
}

function reply(id: number, value: Uint8Array | undefined): void {
  const answer: SnapReply = { id, value, error: undefined }
  port!.postMessage(answer, value === undefined ? [] : [value.buffer as ArrayBuffer])
}

function replyError(id: number, error: unknown): void {
  const code = systemErrorCode(error) ?? 'Internal'
  const answer: SnapReply = { id, value: undefined, error: { code, message: errorMessage(error) } }
  port!.postMessage(answer)
}

function maybeFinish(): void {
  if (!closing || ingesting > 0) return
  // The answer of the last ingestion leaves first.
  setImmediate(() => {
    void engine.close().then(() => port?.close())
  })
}
