/**
 * One BatchCommands stream on the client, from its opening until it breaks: encodes requests,
 * matches answers by id and gives them to the requests' sinks.
 *
 * INVARIANTS
 * - A request that was written is answered, or handed back by `onBroken`, exactly once.
 * - One write is under way at a time, so its buffer is free again when the next one begins.
 */
import { type ClientDuplexStream, status as Status, type StatusObject } from '@grpc/grpc-js'
import { errorMessage, PolyraftError } from '../base/errors.ts'
import { MIB } from '../base/limits.ts'
import type { Ring } from '../base/ring.ts'
import {
  BatchAnswers,
  readBatchResponse,
  writeBatchIds,
  writeBatchRequestCommand,
} from '../protocol/batch-commands.ts'
import { ProtoReader } from '../protocol/proto-reader.ts'
import { ProtoWriter } from '../protocol/proto-writer.ts'
import { type RawRequest, regionErrorResponse } from '../protocol/raw.ts'
import { RequestSlots } from './request-slots.ts'

const COMMANDS_PER_MESSAGE_MAX = 256
const MESSAGE_BYTES_MAX = MIB

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
  readonly #slots: RequestSlots
  readonly #writer = new ProtoWriter()
  readonly #reader = new ProtoReader(Buffer.alloc(0))
  readonly #answers = new BatchAnswers()
  readonly #ids: number[] = []
  readonly #writtenBound = (): void => this.#onWritten()
  #writing = false
  #broken = false
  #answered = false
  #onEnd: (() => void) | undefined

  constructor(
    call: ClientDuplexStream<Buffer, Buffer>,
    commandsMax: number,
    events: CommandStreamEvents,
  ) {
    this.#call = call
    this.#events = events
    this.#slots = new RequestSlots(commandsMax)
    call.on('data', (message: Buffer) => this.#onMessage(message))
    call.on('error', (error: Error) => this.#break(unavailable(error.message)))
    call.on('status', (status: StatusObject) => this.#onStatus(status))
  }

  get writable(): boolean {
    return !this.#writing && !this.#broken && !this.#slots.full
  }

  get unansweredCount(): number {
    return this.#slots.length
  }

  /** Whether the store ever answered on this stream. */
  get answered(): boolean {
    return this.#answered
  }

  /** Sends one message with what is first in the queue. @hot */
  writeFrom(queue: Ring<RawRequest>): void {
    this.#writer.reset()
    this.#ids.length = 0
    while (this.#roomInMessage()) {
      const request = queue.shift()
      if (request === undefined) break
      writeBatchRequestCommand(this.#writer, request)
      this.#ids.push(this.#slots.add(request))
    }
    writeBatchIds(this.#writer, this.#ids)
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
      !this.#slots.full
    )
  }

  #onWritten(): void {
    this.#writing = false
    if (!this.#broken) this.#events.onWritable()
  }

  #onMessage(message: Buffer): void {
    if (this.#broken) return
    this.#answered = true
    this.#reader.open(message)
    try {
      readBatchResponse(this.#reader, this.#answers)
    } catch (error) {
      this.#break(unavailable(errorMessage(error)))
      return
    }
    this.#deliver()
    if (!this.#writing && !this.#broken) this.#events.onWritable()
  }

  #deliver(): void {
    const { kinds, ids, responses } = this.#answers
    for (let i = 0; i < ids.length; i++) {
      const request = this.#slots.take(ids[i]!)
      if (request === undefined) continue
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
    this.#events.onBroken(this.#slots.takeAll(), error)
  }
}

function unavailable(why: string): PolyraftError {
  return new PolyraftError('Unavailable', `the command stream broke: ${why}`)
}
