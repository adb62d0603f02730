/**
 * The messages of tikvpb.Tikv/BatchCommands, both ways.
 *
 *   BatchCommandsRequest   1: repeated Request { oneof cmd }     2: repeated request_ids
 *   BatchCommandsResponse  1: repeated Response { oneof cmd }    2: repeated request_ids
 *
 *   both                   1000: clock, ours alone; others skip it
 *
 * A request's clock is what the store's clock showed when the message left, at least, as far as the
 * client knows; it also asks for the store's clock, which every response then tells. So the store
 * knows how long a message was under way, whatever the network did to it.
 *
 * The number of a command in the oneof is its RawKind, in requests and in responses. Ids belong to
 * commands by position; they follow behind the commands, so a command learns its id at the end.
 *
 * A command that is unknown, not supported or malformed in itself becomes a RejectedCommand, which
 * is answered and ends nothing; only a broken frame around the commands is an error of the stream.
 * Where the oneof holds several, none is decoded but the first, or a message could make work without end.
 */
import { PolyraftError } from '../base/errors.ts'
import { writeMessageError } from './error-codec.ts'
import type { ProtoReader } from './proto-reader.ts'
import type { ProtoWriter } from './proto-writer.ts'
import { errorResponse, RawKind, RawRequest, type RawResponse, type ResponseSink } from './raw.ts'
import { ResponseTag } from './raw-fields.ts'
import { readPacked, readRequest } from './raw-request-decode.ts'
import { requestSizeHint, writeRequest } from './raw-request-encode.ts'
import { readResponse, responseSizeHint, writeResponse } from './raw-response.ts'
import { notSupported } from './tikvpb.ts'
import { bytesTag, fieldOf, varintTag, WireType } from './wire.ts'

const COMMANDS = bytesTag(1)
const ID = varintTag(2)
const PACKED_IDS = bytesTag(2)
const CLOCK = varintTag(1000)
/** Of a client that does not know the store's clock yet. */
const CLOCK_UNKNOWN = 1
const EMPTY_COMMAND = 255
const TEST_ID = varintTag(1)
/** Commands we do not run, whose response has a plain error text. */
const WITH_ERROR_TEXT: ReadonlyMap<number, string> = new Map([
  [12, 'KvDeleteRange'],
  [20, 'RawDeleteRange'],
  [34, 'RawCoprocessor'],
])
/** The one response whose region_error is not field 1. */
const COPROCESSOR = 22
const COPROCESSOR_REGION_ERROR = bytesTag(2)

const KINDS: ReadonlySet<number> = new Set(Object.values(RawKind))

function isRawKind(field: number): field is RawKind {
  return KINDS.has(field)
}

/** A command that is not executed: it is answered with its error, or with an echo (Empty). */
export class RejectedCommand {
  readonly field: number
  readonly error: string
  /** Empty commands only: what the answer repeats. */
  readonly testId: number
  token = 0

  constructor(field: number, error: string, testId: number) {
    this.field = field
    this.error = error
    this.testId = testId
  }
}

export type BatchCommand = RawRequest | RejectedCommand

export interface BatchRequest {
  readonly commands: readonly BatchCommand[]
  /** The client wants the store's clock with every response. */
  readonly asksClock: boolean
}

/** Reads one BatchCommandsRequest; each command's token is its request id. @hot */
export function readBatchRequest(reader: ProtoReader, sink: ResponseSink): BatchRequest {
  const commands: BatchCommand[] = []
  const ids: number[] = []
  let clockMs = 0
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === COMMANDS) commands.push(readCommand(reader, sink))
    else if (tag === PACKED_IDS) readPacked(reader, ids)
    else if (tag === ID) ids.push(reader.u64())
    else if (tag === CLOCK) clockMs = reader.u64()
    else reader.skip(tag)
  }
  mustPair(commands.length, ids.length)
  for (let i = 0; i < commands.length; i++) {
    const command = commands[i]!
    command.token = ids[i]!
    if (command instanceof RawRequest) command.sentAfterMs = clockMs
  }
  return { commands, asksClock: clockMs > 0 }
}

/** Begins a stream: asks for the store's clock before anything depends on it. */
export function writeBatchGreeting(writer: ProtoWriter): void {
  writer.uintField(CLOCK, CLOCK_UNKNOWN)
}

/** In either direction. @hot */
export function writeBatchClock(writer: ProtoWriter, clockMs: number): void {
  writer.uintField(CLOCK, Math.max(CLOCK_UNKNOWN, Math.floor(clockMs)))
}

function mustPair(commands: number, ids: number): void {
  if (commands !== ids) {
    throw new PolyraftError('InvalidArgument', `a batch of ${commands} commands has ${ids} ids`)
  }
}

function readCommand(reader: ProtoReader, sink: ResponseSink): BatchCommand {
  const outer = reader.enter()
  let command: BatchCommand | undefined
  let another = 0
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    const isCommand = (tag & 7) === WireType.Bytes
    if (isCommand && command === undefined) {
      command = readOneof(reader, fieldOf(tag), sink)
    } else {
      if (isCommand) another = fieldOf(tag)
      reader.skip(tag)
    }
  }
  reader.leave(outer)
  if (another !== 0) return new RejectedCommand(another, 'the request holds several commands', 0)
  return command ?? new RejectedCommand(0, 'the request holds no command', 0)
}

function readOneof(reader: ProtoReader, field: number, sink: ResponseSink): BatchCommand {
  const outer = reader.enter()
  const end = reader.end
  let command: BatchCommand
  try {
    if (isRawKind(field)) command = readRequest(reader, field, sink, 0)
    else if (field === EMPTY_COMMAND) command = readEmptyCommand(reader)
    else {
      const name = WITH_ERROR_TEXT.get(field) ?? `command ${field}`
      command = new RejectedCommand(field, notSupported(name), 0)
    }
  } catch (error) {
    if (!(error instanceof PolyraftError)) throw error
    command = new RejectedCommand(field, error.message, 0)
  }
  reader.abandon(end, outer)
  return command
}

/** Its delay_time is not honoured: the answer leaves at once. */
function readEmptyCommand(reader: ProtoReader): RejectedCommand {
  let testId = 0
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === TEST_ID) testId = reader.u64()
    else reader.skip(tag)
  }
  return new RejectedCommand(EMPTY_COMMAND, '', testId)
}

/** Appends one request to a message under way. @hot */
export function writeBatchRequestCommand(writer: ProtoWriter, request: RawRequest): void {
  const hint = requestSizeHint(request)
  const entry = writer.begin(COMMANDS, hint + 3)
  const command = writer.begin(bytesTag(request.kind), hint)
  writeRequest(writer, request)
  writer.end(command)
  writer.end(entry)
}

/** Appends one response to a message under way. @hot */
export function writeBatchResponseCommand(
  writer: ProtoWriter,
  kind: RawKind,
  response: RawResponse,
): void {
  const hint = responseSizeHint(response)
  const entry = writer.begin(COMMANDS, hint + 3)
  const command = writer.begin(bytesTag(kind), hint)
  writeResponse(writer, kind, response)
  writer.end(command)
  writer.end(entry)
}

/** Appends the answer to a command that was not executed. */
export function writeRejection(writer: ProtoWriter, command: RejectedCommand): void {
  if (isRawKind(command.field)) {
    writeBatchResponseCommand(writer, command.field, errorResponse(command.error))
    return
  }
  const entry = writer.begin(COMMANDS, command.error.length)
  if (command.field !== 0) {
    const body = writer.begin(bytesTag(command.field), command.error.length)
    writeRejectionBody(writer, command)
    writer.end(body)
  }
  writer.end(entry)
}

function writeRejectionBody(writer: ProtoWriter, command: RejectedCommand): void {
  const { field, error } = command
  if (field === EMPTY_COMMAND) writer.uintField(TEST_ID, command.testId)
  else if (WITH_ERROR_TEXT.has(field)) writer.textField(ResponseTag.Error, error)
  else if (field === COPROCESSOR) writeMessageError(writer, COPROCESSOR_REGION_ERROR, error)
  else writeMessageError(writer, ResponseTag.RegionError, error)
}

/** Ends a message of either direction: the ids of its commands, in their order. @hot */
export function writeBatchIds(writer: ProtoWriter, ids: readonly number[]): void {
  if (ids.length === 0) return
  const mark = writer.begin(PACKED_IDS, ids.length * 2)
  for (let i = 0; i < ids.length; i++) writer.varint(ids[i]!)
  writer.end(mark)
}

/** The answers of one BatchCommandsResponse: parallel lists, reused from message to message. */
export class BatchAnswers {
  readonly kinds: number[] = []
  readonly responses: RawResponse[] = []
  readonly ids: number[] = []
  /** The store's clock when it sent them; 0 = it did not say. */
  clockMs = 0

  clear(): void {
    this.clockMs = 0
    this.kinds.length = 0
    this.responses.length = 0
    this.ids.length = 0
  }
}

/** Reads one BatchCommandsResponse into `answers`, which is cleared first. @hot */
export function readBatchResponse(reader: ProtoReader, answers: BatchAnswers): void {
  answers.clear()
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === COMMANDS) readAnswer(reader, answers)
    else if (tag === PACKED_IDS) readPacked(reader, answers.ids)
    else if (tag === ID) answers.ids.push(reader.u64())
    else if (tag === CLOCK) answers.clockMs = reader.u64()
    else reader.skip(tag)
  }
  mustPair(answers.responses.length, answers.ids.length)
}

function readAnswer(reader: ProtoReader, answers: BatchAnswers): void {
  const outer = reader.enter()
  let kind = 0
  let response: RawResponse = NO_ANSWER
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    const field = fieldOf(tag)
    if ((tag & 7) === WireType.Bytes && isRawKind(field)) {
      kind = field
      const body = reader.enter()
      response = readResponse(reader, field)
      reader.leave(body)
    } else {
      reader.skip(tag)
    }
  }
  reader.leave(outer)
  answers.kinds.push(kind)
  answers.responses.push(response)
}

const NO_ANSWER: RawResponse = errorResponse('the store answered with an unknown command')
