/**
 * One BatchCommands stream on the server: its requests go to the store, and it is the sink that all
 * their answers come back to. Answers are encoded as they come and leave together, one message per
 * event-loop round.
 *
 *   respond ─▶ current writer ──(message full)──▶ sealed messages ─┐
 *                   └────────────(end of round)────────────────────┴─▶ at most one write under way
 *
 * INVARIANTS
 * - Every command is answered once, or the stream is closed and its answer dropped.
 * - One write is under way at a time, on a writer that nothing else touches until it is done.
 * - Reading pauses while too many commands run or too many bytes wait for the client, so memory is
 *   bounded by the limits and the client feels it through flow control.
 * - Nothing is executed by a clock that stood still since the client was told it: by the client's own
 *   that request has expired long ago, and another was sent in its place.
 */
import { type ServerDuplexStream, status } from '@grpc/grpc-js'
import { assert } from '../base/assert.ts'
import type { Clock } from '../base/clock.ts'
import { PolyraftError } from '../base/errors.ts'
import { MIB } from '../base/limits.ts'
import { Ring } from '../base/ring.ts'
import { DEADLINE_EXCEEDED } from '../peer/region-errors.ts'
import { Standstill } from '../peer/standstill.ts'
import {
  type RejectedCommand,
  readBatchRequest,
  writeBatchClock,
  writeBatchIds,
  writeBatchResponseCommand,
  writeRejection,
} from '../protocol/batch-commands.ts'
import { mustHoldCommands } from '../protocol/batch-count.ts'
import { ProtoReader } from '../protocol/proto-reader.ts'
import { ProtoWriter } from '../protocol/proto-writer.ts'
import {
  errorResponse,
  RawRequest,
  type RawResponse,
  type ResponseSink,
  regionErrorResponse,
  SinkRoom,
} from '../protocol/raw.ts'
import { validateRequest } from '../protocol/validate.ts'
import type { StoreService } from '../store/port.ts'
import type { ClusterCheck } from './cluster-check.ts'

export interface BatchStreamLimits {
  /** Commands of one stream that run at a time; more wait in the client. No message has more. */
  readonly commandsMax: number
  /** Encoded answers that wait for the client to take them. */
  readonly waitingBytesMax: number
  /** An answer message that grew beyond this takes no more answers. */
  readonly messageBytesMax: number
  /** Answers that wait for all clients of the store; above it each stream gets rid of its own first. */
  readonly backlogBytesMax: number
}

/** Encoded answers in sealed messages, of all streams of a store. */
export interface Backlog {
  bytes: number
}

export const DEFAULT_BATCH_STREAM_LIMITS: BatchStreamLimits = {
  commandsMax: 16_384,
  waitingBytesMax: 16 * MIB,
  messageBytesMax: MIB,
  backlogBytesMax: 256 * MIB,
}

export interface BatchStreamOptions {
  readonly store: StoreService
  readonly cluster: ClusterCheck
  readonly limits: BatchStreamLimits
  /** The store's, by which requests expire. */
  readonly clock: Clock
  readonly backlog: Backlog
  readonly onClosed: (stream: BatchStream) => void
}

type Call = ServerDuplexStream<Buffer, Buffer>

export class BatchStream implements ResponseSink {
  readonly #call: Call
  readonly #store: StoreService
  readonly #cluster: ClusterCheck
  readonly #limits: BatchStreamLimits
  readonly #clock: Clock
  readonly #backlog: Backlog
  readonly #onClosed: (stream: BatchStream) => void
  readonly #standstill = new Standstill()
  readonly #reader = new ProtoReader(Buffer.alloc(0))
  readonly #sealed = new Ring<Buffer>()
  readonly #flushBound = (): void => this.#flushRound()
  readonly #writtenBound = (error: Error | null | undefined): void => this.#onWritten(error)
  #writer = new ProtoWriter()
  #spareWriter = new ProtoWriter()
  #ids: number[] = []
  #sealedBytes = 0
  #writingBytes = 0
  /** Sealed and not written: this stream's part of the backlog. */
  #backlogBytes = 0
  #running = 0
  #flushScheduled = false
  #writing = false
  #paused = false
  #tellsClock = false
  /** What the client takes for our clock is ahead of it. */
  #isClockLost = false
  /** Asked for, and no message has told it since. */
  #clockDue = false
  #requestsEnded = false
  #stopping = false
  #whyStopping = ''
  #closed = false

  constructor(call: Call, options: BatchStreamOptions) {
    this.#call = call
    this.#store = options.store
    this.#cluster = options.cluster
    this.#limits = options.limits
    this.#clock = options.clock
    this.#backlog = options.backlog
    this.#onClosed = options.onClosed
    call.on('data', (message: Buffer) => this.#onMessage(message))
    call.on('end', () => this.#onRequestsEnded())
    call.on('cancelled', () => this.#close())
    call.on('error', () => this.#close())
  }

  /** Ends the stream once the commands that run are answered; takes no more. */
  stop(why = 'the store is stopping'): void {
    if (this.#closed || this.#stopping) return
    this.#stopping = true
    this.#whyStopping = why
    this.#pause()
    this.#maybeEnd()
  }

  /** @hot */
  respond(request: RawRequest, response: RawResponse): void {
    this.#running--
    assert(this.#running >= 0, 'a command is answered once')
    if (this.#closed) return
    writeBatchResponseCommand(this.#writer, request.kind, response)
    this.#appended(request.token)
  }

  /** @hot */
  room(): SinkRoom {
    if (this.#closed) return SinkRoom.Gone
    const { waitingBytesMax, backlogBytesMax } = this.#limits
    const full =
      this.#waitingBytes() >= waitingBytesMax ||
      (this.#backlogBytes > 0 && this.#backlog.bytes >= backlogBytesMax)
    return full ? SinkRoom.Full : SinkRoom.Free
  }

  #onMessage(message: Buffer): void {
    if (this.#closed) return
    this.#lookAtClock()
    try {
      this.#reader.open(message)
      mustHoldCommands(this.#reader, message.length, this.#limits.commandsMax)
      this.#reader.open(message)
      const { commands, asksClock } = readBatchRequest(this.#reader, this)
      if (asksClock) this.#onClockAsked()
      if (this.#isClockLost) this.#refuse(commands)
      else this.#execute(commands)
    } catch (error) {
      if (!(error instanceof PolyraftError)) throw error
      this.#endWith(status.INVALID_ARGUMENT, error.message)
      this.#close()
    }
    this.#reader.close()
    if (this.#overloaded(1)) this.#pause()
  }

  /** The machine may have been suspended since the client was told its clock. */
  #lookAtClock(): void {
    const gainedMs = this.#standstill.look(this.#clock.monotonicMs(), this.#clock.wallMs())
    if (gainedMs > 0 && this.#tellsClock) this.#isClockLost = true
  }

  /** How old these are nobody knows; on another stream the client is told the clock anew. */
  #refuse(commands: readonly (RawRequest | RejectedCommand)[]): void {
    const response = regionErrorResponse(DEADLINE_EXCEEDED)
    for (const command of commands) {
      if (command instanceof RawRequest) {
        writeBatchResponseCommand(this.#writer, command.kind, response)
      } else writeRejection(this.#writer, command)
      this.#appended(command.token)
    }
    this.stop('the clock of this machine stood still')
  }

  #execute(commands: readonly (RawRequest | RejectedCommand)[]): void {
    for (let i = 0; i < commands.length; i++) {
      const command = commands[i]!
      if (!(command instanceof RawRequest)) {
        writeRejection(this.#writer, command)
        this.#appended(command.token)
        continue
      }
      const foreign = this.#cluster.mismatch(command)
      if (foreign !== undefined) throw new PolyraftError('ClusterIdMismatch', foreign)
      this.#running++
      const error = validateRequest(command)
      if (error === undefined) this.#store.execute(command)
      else this.respond(command, errorResponse(error))
    }
  }

  /** The first time it is told even if there is nothing to answer: the client waits for it. */
  #onClockAsked(): void {
    if (this.#tellsClock) return
    this.#tellsClock = true
    this.#clockDue = true
    this.#scheduleFlush()
  }

  #appended(id: number): void {
    this.#ids.push(id)
    if (this.#writer.length >= this.#limits.messageBytesMax) this.#seal()
    this.#scheduleFlush()
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled || this.#writing) return
    this.#flushScheduled = true
    setImmediate(this.#flushBound)
  }

  /** Closes the current message; it waits for its turn, and the writer takes the next one. */
  #seal(): void {
    this.#endMessage()
    const message = this.#writer.takeCopy()
    this.#sealedBytes += message.length
    this.#addBacklog(message.length)
    this.#sealed.push(message)
  }

  #flushRound(): void {
    this.#flushScheduled = false
    this.#flush()
  }

  #flush(): void {
    if (this.#writing || this.#closed) return
    const message = this.#nextMessage()
    if (message === undefined) {
      this.#maybeEnd()
      return
    }
    this.#writing = true
    this.#writingBytes = message.length
    this.#call.write(message, this.#writtenBound)
  }

  #nextMessage(): Buffer | undefined {
    const sealed = this.#sealed.shift()
    if (sealed !== undefined) {
      this.#sealedBytes -= sealed.length
      return sealed
    }
    if (this.#ids.length === 0 && !this.#clockDue) return undefined
    const full = this.#writer
    this.#endMessage()
    this.#writer = this.#spareWriter
    this.#writer.reset()
    this.#spareWriter = full
    return full.view()
  }

  #endMessage(): void {
    writeBatchIds(this.#writer, this.#ids)
    this.#ids.length = 0
    if (!this.#tellsClock) return
    writeBatchClock(this.#writer, this.#clock.monotonicMs())
    this.#clockDue = false
  }

  #onWritten(error: Error | null | undefined): void {
    this.#writing = false
    this.#writingBytes = 0
    if (!this.#closed) this.#addBacklog(this.#sealedBytes - this.#backlogBytes)
    if (error) {
      this.#close()
      return
    }
    this.#flush()
    if (this.#paused && !this.#stopping && !this.#overloaded(2)) this.#resume()
  }

  /** Above 1 / `divisor` of a limit: pauses at the limit, resumes at half of it. */
  #overloaded(divisor: number): boolean {
    const waiting = this.#waitingBytes()
    const { commandsMax, waitingBytesMax } = this.#limits
    return this.#running * divisor >= commandsMax || waiting * divisor >= waitingBytesMax
  }

  #waitingBytes(): number {
    return this.#sealedBytes + this.#writingBytes + this.#writer.length
  }

  #addBacklog(bytes: number): void {
    this.#backlogBytes += bytes
    this.#backlog.bytes += bytes
  }

  #pause(): void {
    if (this.#paused) return
    this.#paused = true
    this.#call.pause()
  }

  #resume(): void {
    this.#paused = false
    this.#call.resume()
  }

  #onRequestsEnded(): void {
    this.#requestsEnded = true
    this.#maybeEnd()
  }

  #maybeEnd(): void {
    if (this.#closed || !(this.#requestsEnded || this.#stopping)) return
    if (this.#running > 0 || this.#writing || this.#ids.length > 0) return
    if (this.#sealed.length > 0) return
    if (this.#stopping) this.#endWith(status.UNAVAILABLE, this.#whyStopping)
    else this.#call.end()
    this.#close()
  }

  #endWith(code: status, details: string): void {
    this.#call.emit('error', { code, details, message: details, name: 'ServiceError' })
  }

  #close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#sealed.clear()
    this.#sealedBytes = 0
    this.#addBacklog(-this.#backlogBytes)
    this.#ids.length = 0
    this.#writer.reset()
    this.#onClosed(this)
  }
}
