/**
 * tikvpb.Tikv: raw commands, one by one or on BatchCommands streams, into a StoreService. Methods that
 * are not run answer with an error where their response has room for one, and with UNIMPLEMENTED
 * otherwise, which gRPC does for methods that are not there.
 *
 * What is wrong with a request in itself is answered before the store sees it: in the command's
 * `error`, and as gRPC INVALID_ARGUMENT where a unary response has no such field (RawBatchGet,
 * RawScan). On a stream those two carry it as a region_error that has only a message.
 *
 * A request that names another cluster ends its call, or the whole stream, with INVALID_ARGUMENT, as
 * TiKV has it: whoever sends it has mixed up clusters, and no retry helps.
 */
import {
  type Server,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js'
import type { Clock } from '../base/clock.ts'
import { errorMessage, PolyraftError } from '../base/errors.ts'
import { machineClock } from '../base/node-clock.ts'
import { ProtoWriter } from '../protocol/proto-writer.ts'
import { errorResponse, RawKind, type RawRequest } from '../protocol/raw.ts'
import { ResponseTag } from '../protocol/raw-fields.ts'
import { decodeRequest } from '../protocol/raw-request-decode.ts'
import {
  notSupported,
  REFUSED_METHODS,
  tikvServiceDefinition,
  UNARY_KINDS,
} from '../protocol/tikvpb.ts'
import { validateRequest } from '../protocol/validate.ts'
import type { StoreService } from '../store/port.ts'
import {
  type Backlog,
  BatchStream,
  type BatchStreamLimits,
  DEFAULT_BATCH_STREAM_LIMITS,
} from './batch-stream.ts'
import { ClusterCheck } from './cluster-check.ts'
import { UnaryAnswer, UnaryBacklog } from './unary-answers.ts'

export interface TikvServiceOptions {
  readonly batchStreamLimits?: Partial<BatchStreamLimits>
  /** The store's. Default: the machine's. */
  readonly clock?: Clock
}

export interface TikvService {
  /** Open BatchCommands streams. */
  streamCount(): number
  /** Ends every stream as soon as what runs on it is answered: the first step of a graceful stop. */
  stopStreams(): void
}

type UnaryCall = ServerUnaryCall<Buffer, Buffer>
type UnaryHandler = (call: UnaryCall, callback: sendUnaryData<Buffer>) => void

export function addTikvService(
  server: Server,
  store: StoreService,
  options: TikvServiceOptions = {},
): TikvService {
  const clock = options.clock ?? machineClock
  const limits = { ...DEFAULT_BATCH_STREAM_LIMITS, ...options.batchStreamLimits }
  const streams = new Set<BatchStream>()
  const backlog: Backlog = { bytes: 0 }
  const cluster = new ClusterCheck(store)
  const forget = (stream: BatchStream): void => {
    streams.delete(stream)
  }
  const answers = new UnaryBacklog(limits, backlog)
  const unary = (kind: RawKind): UnaryHandler => unaryHandler(kind, store, cluster, answers)
  server.addService(tikvServiceDefinition, {
    RawGet: unary(UNARY_KINDS.RawGet),
    RawBatchGet: unary(UNARY_KINDS.RawBatchGet),
    RawPut: unary(UNARY_KINDS.RawPut),
    RawBatchPut: unary(UNARY_KINDS.RawBatchPut),
    RawDelete: unary(UNARY_KINDS.RawDelete),
    RawBatchDelete: unary(UNARY_KINDS.RawBatchDelete),
    RawScan: unary(UNARY_KINDS.RawScan),
    ...refusals(),
    BatchCommands: (call: ServerDuplexStream<Buffer, Buffer>): void => {
      streams.add(
        new BatchStream(call, { store, cluster, limits, clock, backlog, onClosed: forget }),
      )
    },
  })
  return {
    streamCount: () => streams.size,
    stopStreams: () => {
      for (const stream of streams) stream.stop()
    },
  }
}

function refusals(): Record<string, UnaryHandler> {
  const handlers: Record<string, UnaryHandler> = {}
  for (const method of REFUSED_METHODS) {
    handlers[method] = (_call, callback) => {
      const writer = new ProtoWriter(128)
      writer.textField(ResponseTag.Error, notSupported(method))
      callback(null, writer.takeCopy())
    }
  }
  return handlers
}

function unaryHandler(
  kind: RawKind,
  store: StoreService,
  cluster: ClusterCheck,
  answers: UnaryBacklog,
): UnaryHandler {
  return (call, callback) => {
    const answer = new UnaryAnswer(call, callback, answers)
    let request: RawRequest
    try {
      request = decodeRequest(kind, call.request, answer, 0)
    } catch (error) {
      if (!(error instanceof PolyraftError)) throw error
      refuse(callback, errorMessage(error))
      return
    }
    const foreign = cluster.mismatch(request)
    if (foreign !== undefined) {
      refuse(callback, foreign)
      return
    }
    const invalid = validateRequest(request)
    if (invalid === undefined) store.execute(request)
    else if (kind === RawKind.BatchGet || kind === RawKind.Scan) refuse(callback, invalid)
    else answer.respond(request, errorResponse(invalid))
  }
}

function refuse(callback: sendUnaryData<Buffer>, details: string): void {
  callback({ code: status.INVALID_ARGUMENT, details })
}
