/**
 * Raw key-value requests and answers as they are inside a process: the gRPC codec makes them from
 * bytes, the store executes them, an embedded client hands them over as they are.
 *
 * A request carries its own way back (`sink` and `token`), so the store needs no closure per
 * operation. `sink.respond` is called exactly once for each request that was executed.
 */
import { EMPTY_BYTES } from '../base/bytes.ts'
import type { PeerId, RegionId, StoreId, Term } from '../base/ids.ts'
import type { Peer, Region } from '../region/region.ts'

/** The numbers are those of the BatchCommands `oneof cmd`. */
export const RawKind = {
  Get: 13,
  BatchGet: 14,
  Put: 15,
  BatchPut: 16,
  Delete: 17,
  BatchDelete: 18,
  Scan: 19,
} as const
export type RawKind = (typeof RawKind)[keyof typeof RawKind]

export function isWrite(kind: RawKind): boolean {
  return (
    kind === RawKind.Put ||
    kind === RawKind.Delete ||
    kind === RawKind.BatchPut ||
    kind === RawKind.BatchDelete
  )
}

/** What a sink does with further answers: takes them, wants to get rid of some first, drops them. */
export const SinkRoom = { Free: 0, Full: 1, Gone: 2 } as const
export type SinkRoom = (typeof SinkRoom)[keyof typeof SinkRoom]

/** Answers leave through here. Must not throw. */
export interface ResponseSink {
  respond(request: RawRequest, response: RawResponse): void
  /** Asked before what may answer with much is run; a sink without it always has room. */
  room?(): SinkRoom
}

export const NO_BUFFERS: readonly Buffer[] = []

/** One flat shape for every kind, all fields set, so that the hot path stays monomorphic. */
export class RawRequest {
  kind: RawKind
  // Context
  regionId: RegionId = 0
  confVer = 0
  version = 0
  peerId: PeerId = 0
  storeId: StoreId = 0
  term: Term = 0
  /** 0 = the client did not say. */
  clusterId = 0
  /** Server-side budget; 0 = none. */
  durationMsMax = 0
  replicaRead = false
  apiVersion = 0
  // Operands
  /** Column family by name; '' = default. */
  cf = ''
  /** Key of Get, Put and Delete; start_key of Scan. */
  key: Buffer = EMPTY_BYTES
  value: Buffer = EMPTY_BYTES
  keys: readonly Buffer[] = NO_BUFFERS
  values: readonly Buffer[] = NO_BUFFERS
  /** Seconds; 0 = for ever. For batches: none, one for all, or one a key. */
  ttls: readonly number[] = []
  endKey: Buffer = EMPTY_BYTES
  limit = 0
  keyOnly = false
  reverse = false
  // The way back
  sink: ResponseSink
  token: number
  // Of the client
  /** By its clock: the store takes nothing of this attempt later. Until it leaves, the call's deadline. */
  expiresAtMs = 0
  /** How long it may take once it has left, besides the time for what is before it. */
  attemptMsMax = 0
  /** What it takes of a connection's bytes under way: from leaving until it is answered or given up. */
  bytesUnderWay = 0
  /** A connection has written this attempt: the store may execute it. */
  sent = false
  /** Nobody waits for it any more: it need not be written. */
  dropped = false
  // Set by the store
  /** By its clock, the latest moment known at which the client had not sent it yet; 0 = unknown. */
  sentAfterMs = 0
  /** Monotonic; Infinity = none. */
  deadlineMs = Number.POSITIVE_INFINITY

  constructor(kind: RawKind, sink: ResponseSink, token: number) {
    this.kind = kind
    this.sink = sink
    this.token = token
  }
}

/**
 * The budget begins when the client sends, where that is known, and not when the bytes arrive: a
 * network may hold them back until the client has long sent others instead.
 */
export function setDeadline(request: RawRequest, nowMs: number): void {
  if (request.durationMsMax === 0) return
  const { sentAfterMs } = request
  const fromMs = sentAfterMs > 0 && sentAfterMs < nowMs ? sentAfterMs : nowMs
  request.deadlineMs = fromMs + request.durationMsMax
}

export interface RawResponse {
  readonly regionError: RegionError | undefined
  /** Plain-text failure of the command; '' = none. */
  readonly error: string
  /** Get: the value, or undefined when the key is absent. */
  readonly value: Buffer | undefined
  /** BatchGet and Scan: key, value, key, value, … */
  readonly pairs: readonly Buffer[]
}

export const OK_RESPONSE: RawResponse = Object.freeze({
  regionError: undefined,
  error: '',
  value: undefined,
  pairs: NO_BUFFERS,
})

export function valueResponse(value: Buffer | undefined): RawResponse {
  return { regionError: undefined, error: '', value, pairs: NO_BUFFERS }
}

/**
 * How the error of a scan begins whose answer grew beyond its limits: the client asks again for
 * fewer rows. One row always fits.
 */
export const SCAN_ANSWER_TOO_LARGE = 'scan answer is larger than'

/**
 * How the error of a batch get begins whose answer grew beyond GET_BYTES_MAX: the client asks again
 * for fewer keys at once. One key always fits.
 */
export const GET_ANSWER_TOO_LARGE = 'batch get answer is larger than'

export function pairsResponse(pairs: readonly Buffer[]): RawResponse {
  return { regionError: undefined, error: '', value: undefined, pairs }
}

export function errorResponse(error: string): RawResponse {
  return { regionError: undefined, error, value: undefined, pairs: NO_BUFFERS }
}

export function regionErrorResponse(regionError: RegionError): RawResponse {
  return { regionError, error: '', value: undefined, pairs: NO_BUFFERS }
}

/** Why a region did not do what it was asked: errorpb.Error. `message` is for people. */
export type RegionError = { readonly message: string } & (
  | { readonly code: 'NotLeader'; readonly regionId: RegionId; readonly leader: Peer | undefined }
  | { readonly code: 'RegionNotFound'; readonly regionId: RegionId }
  | {
      readonly code: 'KeyNotInRegion'
      readonly key: Buffer
      readonly regionId: RegionId
      readonly startKey: Buffer
      readonly endKey: Buffer
    }
  | { readonly code: 'EpochNotMatch'; readonly currentRegions: readonly Region[] }
  | { readonly code: 'ServerIsBusy'; readonly reason: string; readonly backoffMs: number }
  | { readonly code: 'StaleCommand' }
  | {
      readonly code: 'StoreNotMatch'
      readonly requestStoreId: StoreId
      readonly actualStoreId: StoreId
    }
  | { readonly code: 'RaftEntryTooLarge'; readonly regionId: RegionId; readonly entrySize: number }
  | { readonly code: 'ReadIndexNotReady'; readonly reason: string; readonly regionId: RegionId }
  | { readonly code: 'RegionNotInitialized'; readonly regionId: RegionId }
  | { readonly code: 'DiskFull'; readonly storeIds: readonly StoreId[]; readonly reason: string }
  | { readonly code: 'RecoveryInProgress'; readonly regionId: RegionId }
  | {
      readonly code: 'MismatchPeerId'
      readonly requestPeerId: PeerId
      readonly storePeerId: PeerId
    }
  | { readonly code: 'UndeterminedResult' }
)
