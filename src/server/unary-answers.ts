/**
 * Answers of unary calls on their way out. gRPC buffers whatever a client does not take, so reads of a
 * connection on which too much waits are held back, as those of a stream are.
 *
 * Only large answers are counted: of the others there is one a call, and calls are bounded.
 */
import type { ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js'
import { KIB } from '../base/limits.ts'
import { ProtoWriter } from '../protocol/proto-writer.ts'
import { type RawRequest, type RawResponse, type ResponseSink, SinkRoom } from '../protocol/raw.ts'
import { writeResponse } from '../protocol/raw-response.ts'
import type { Backlog, BatchStreamLimits } from './batch-stream.ts'

const COUNTED_BYTES_MIN = 64 * KIB

type UnaryCall = ServerUnaryCall<Buffer, Buffer>

/** Bytes of answers that wait for their clients, by connection. */
export class UnaryBacklog {
  readonly #limits: BatchStreamLimits
  /** Of the store, streams included. */
  readonly #total: Backlog
  readonly #byPeer = new Map<string, number>()

  constructor(limits: BatchStreamLimits, total: Backlog) {
    this.#limits = limits
    this.#total = total
  }

  roomFor(call: UnaryCall): SinkRoom {
    if (call.cancelled) return SinkRoom.Gone
    if (this.#byPeer.size === 0) return SinkRoom.Free
    const waiting = this.#byPeer.get(call.getPeer()) ?? 0
    const { waitingBytesMax, backlogBytesMax } = this.#limits
    const full = waiting >= waitingBytesMax || (waiting > 0 && this.#total.bytes >= backlogBytesMax)
    return full ? SinkRoom.Full : SinkRoom.Free
  }

  /** The answer waits until the call is over: gRPC says 'cancelled' of every end, a good one included. */
  onAnswer(call: UnaryCall, bytes: number): void {
    if (bytes < COUNTED_BYTES_MIN || call.cancelled) return
    const peer = call.getPeer()
    this.#add(peer, bytes)
    call.once('cancelled', () => this.#add(peer, -bytes))
  }

  #add(peer: string, bytes: number): void {
    this.#total.bytes += bytes
    const waiting = (this.#byPeer.get(peer) ?? 0) + bytes
    if (waiting === 0) this.#byPeer.delete(peer)
    else this.#byPeer.set(peer, waiting)
  }
}

/** Encodes are done before anything else runs, so that one writer serves all answers. */
const writer = new ProtoWriter()

export class UnaryAnswer implements ResponseSink {
  readonly #call: UnaryCall
  readonly #callback: sendUnaryData<Buffer>
  readonly #backlog: UnaryBacklog

  constructor(call: UnaryCall, callback: sendUnaryData<Buffer>, backlog: UnaryBacklog) {
    this.#call = call
    this.#callback = callback
    this.#backlog = backlog
  }

  respond(request: RawRequest, response: RawResponse): void {
    writeResponse(writer, request.kind, response)
    this.#backlog.onAnswer(this.#call, writer.length)
    this.#callback(null, writer.takeCopy())
  }

  room(): SinkRoom {
    return this.#backlog.roomFor(this.#call)
  }
}
