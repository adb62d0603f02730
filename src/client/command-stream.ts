/**
 * One BatchCommands stream on the client, from its opening until it breaks: encodes requests,
 * matches answers by id and gives them to the requests' sinks.
 *
 *   greeting ─▶ the store tells its clock ─▶ requests, each with the time that is left to it
 *
 * INVARIANTS
 * - A request that was written is answered, or handed back by `onBroken`, exactly once.
 * - One write is under way at a time, so its buffer is free again when the next one begins.
 * - No request leaves before the store's clock is known: each can expire there, however long its
 *   bytes are under way.
 * - A request that nobody waits for any more is not written: its buffers may hold something else.
 * - Of large requests a few are under way at a time; one at least.
 */
import { type ClientDuplexStream, status as Status, type StatusObject } from '@grpc/grpc-js'
import type { Clock } from '../base/clock.ts'
import { errorMessage, PolyraftError } from '../base/errors.ts'
import { MIB } from '../base/limits.ts'
import type { Ring } from '../base/ring.ts'
import {
  BatchAnswers,
  readBatchResponse,
  writeBatchClock,
  writeBatchGreeting,
  writeBatchIds,
  writeBatchRequestCommand,
} from '../protocol/batch-commands.ts'
import { ProtoReader } from '../protocol/proto-reader.ts'
import { ProtoWriter } from '../protocol/proto-writer.ts'
import { type RawRequest, regionErrorResponse } from '../protocol/raw.ts'
import { requestSizeHint } from '../protocol/raw-request-encode.ts'
import { beginAttempt } from './attempt.ts'
import { RequestSlots } from './request-slots.ts'
import { ServerClock } from './server-clock.ts'

const COMMANDS_PER_MESSAGE_MAX = 256
const MESSAGE_BYTES_MAX = MIB
/**
 * What may be on its way to a store, or run there. Enough for any disk and network that a store has;
 * more would only wait there instead of here, with its time running and copies of it in memory.
 */
const BYTES_UNDER_WAY_MAX = 8 * MIB

const MISMATCH = regionErrorResponse({
  code: 'UndeterminedResult',
  message: 'the store answered with another kind of command',
})

export interface CommandStreamEvents {
  /** Another message can be written. */
  onWritable(): void
  /** The end; the requests were sent and are not answered. */
  onBroken(unanswered: RawRequest[], error: PolyraftError): void
}

export class CommandStream {
  readonly #call: ClientDuplexStream<Buffer, Buffer>
  readonly #events: CommandStreamEvents
  readonly #clock: Clock
  readonly #serverClock = new ServerClock()
  readonly #slots: RequestSlots
  readonly #writer = new ProtoWriter()
  readonly #reader = new ProtoReader(Buffer.alloc(0))
  readonly #answers = new BatchAnswers()
  readonly #ids: number[] = []
  readonly #writtenBound = (): void => this.#onWritten()
  #writing = false
  #broken = false
  #bytesUnderWay = 0
  #answered = false
  #onEnd: (() => void) | undefined

  constructor(
    call: ClientDuplexStream<Buffer, Buffer>,
    commandsMax: number,
    clock: Clock,
    events: CommandStreamEvents,
  ) {
    this.#call = call
    this.#clock = clock
    this.#events = events
    this.#slots = new RequestSlots(commandsMax)
    call.on('data', (message: Buffer) => this.#onMessage(message))
    call.on('error', (error: Error) => this.#break(unavailable(error.message)))
    call.on('status', (status: StatusObject) => this.#onStatus(status))
    writeBatchGreeting(this.#writer)
    this.#write()
  }

  get writable(): boolean {
    const isOpen = !this.#writing && !this.#broken && this.#serverClock.known
    return isOpen && !this.#slots.full && this.#bytesUnderWay < BYTES_UNDER_WAY_MAX
  }

  get bytesUnderWay(): number {
    return this.#bytesUnderWay
  }

  get unansweredCount(): number {
    return this.#slots.length
  }

  /** Whether the store ever answered a request on this stream. */
  get answered(): boolean {
    return this.#answered
  }

  /** Sends one message with what is first in the queue. @hot */
  writeFrom(queue: Ring<RawRequest>): void {
    const nowMs = this.#clock.monotonicMs()
    this.#writer.reset()
    this.#ids.length = 0
    while (this.#roomInMessage()) {
      const request = queue.shift()
      if (request === undefined) break
      if (!request.dropped) this.#append(request, nowMs)
    }
    if (this.#ids.length === 0) return
    writeBatchIds(this.#writer, this.#ids)
    writeBatchClock(this.#writer, this.#serverClock.atLeast(nowMs))
    this.#write()
  }

  #append(request: RawRequest, nowMs: number): void {
    request.bytesUnderWay = requestSizeHint(request)
    this.#bytesUnderWay += request.bytesUnderWay
    beginAttempt(request, nowMs, this.#bytesUnderWay)
    writeBatchRequestCommand(this.#writer, request)
    this.#ids.push(this.#slots.add(request))
  }

  /** Nobody waits for its answer any more. */
  giveUp(request: RawRequest): void {
    this.#leaveWay(request)
    if (this.writable) this.#events.onWritable()
  }

  #leaveWay(request: RawRequest): void {
    this.#bytesUnderWay -= request.bytesUnderWay
    request.bytesUnderWay = 0
  }

  #write(): void {
    this.#writing = true
    this.#call.write(this.#writer.view(), this.#writtenBound)
  }

  /** Cancels the stream; resolves when gRPC is done with it. What is unanswered is handed back. */
  close(error: PolyraftError): Promise<void> {
    return new Promise((resolve) => {
      this.#onEnd = resolve
      this.#break(error)
    })
  }

  #roomInMessage(): boolean {
    return (
      this.#ids.length < COMMANDS_PER_MESSAGE_MAX &&
      this.#writer.length < MESSAGE_BYTES_MAX &&
      this.#bytesUnderWay < BYTES_UNDER_WAY_MAX &&
      !this.#slots.full
    )
  }

  #onWritten(): void {
    this.#writing = false
    if (!this.#broken) this.#events.onWritable()
  }

  #onMessage(message: Buffer): void {
    if (this.#broken) return
    this.#reader.open(message)
    try {
      readBatchResponse(this.#reader, this.#answers)
    } catch (error) {
      this.#break(unavailable(errorMessage(error)))
      return
    }
    if (this.#answers.ids.length > 0) this.#answered = true
    if (this.#answers.clockMs > 0) {
      this.#serverClock.told(this.#answers.clockMs, this.#clock.monotonicMs())
    }
    this.#deliver()
    if (!this.#writing && !this.#broken) this.#events.onWritable()
  }

  #deliver(): void {
    const { kinds, ids, responses } = this.#answers
    for (let i = 0; i < ids.length; i++) {
      const request = this.#slots.take(ids[i]!)
      if (request === undefined) continue
      this.#leaveWay(request)
      request.sink.respond(request, kinds[i] === request.kind ? responses[i]! : MISMATCH)
    }
    this.#answers.clear()
    this.#reader.close()
  }

  #onStatus(status: StatusObject): void {
    this.#break(unavailable(`${Status[status.code]}: ${status.details}`))
    this.#onEnd?.()
  }

  #break(error: PolyraftError): void {
    if (this.#broken) return
    this.#broken = true
    this.#call.cancel()
    const unanswered = this.#slots.takeAll()
    for (const request of unanswered) this.#leaveWay(request)
    this.#events.onBroken(unanswered, error)
  }
}

function unavailable(why: string): PolyraftError {
  return new PolyraftError('Unavailable', `the command stream broke: ${why}`)
}
