/**
 * Responses of raw commands, both ways. RawBatchGet and RawScan have no field for a plain failure:
 * it travels as a region_error that has only a message, because that is what every client reports
 * as an error (an error inside a KvPair is taken for a row with an empty key by the Go client).
 */
import { readRegionError, writeMessageError, writeRegionError } from './error-codec.ts'
import { ProtoReader } from './proto-reader.ts'
import type { ProtoWriter } from './proto-writer.ts'
import {
  errorResponse,
  NO_BUFFERS,
  OK_RESPONSE,
  pairsResponse,
  RawKind,
  type RawResponse,
  regionErrorResponse,
  valueResponse,
} from './raw.ts'
import { ResponseTag } from './raw-fields.ts'
import { readPair } from './raw-request-decode.ts'
import { pairSize, writePair } from './raw-request-encode.ts'
import { varintSize } from './wire.ts'

const EMPTY = Buffer.alloc(0)
const ERROR_SIZE_HINT = 256

function hasPairs(kind: RawKind): boolean {
  return kind === RawKind.BatchGet || kind === RawKind.Scan
}

/** What the response takes; exact for what is large or frequent. @hot */
export function responseSizeHint(response: RawResponse): number {
  if (response.value !== undefined) return response.value.length + 4
  if (response.regionError !== undefined || response.error !== '') return ERROR_SIZE_HINT
  const { pairs } = response
  let size = 0
  for (let i = 0; i + 1 < pairs.length; i += 2) {
    const body = pairSize(pairs[i]!, pairs[i + 1]!)
    size += 1 + varintSize(body) + body
  }
  return size
}

/** The fields of the response, without a tag or length around them. @hot */
export function writeResponse(writer: ProtoWriter, kind: RawKind, response: RawResponse): void {
  if (response.regionError !== undefined) {
    writeRegionError(writer, ResponseTag.RegionError, response.regionError)
  } else if (response.error !== '') {
    writeFailure(writer, kind, response.error)
  } else if (kind === RawKind.Get) {
    if (response.value === undefined) writer.boolField(ResponseTag.NotFound, true)
    else writer.bytesField(ResponseTag.Value, response.value)
  } else if (hasPairs(kind)) {
    const { pairs } = response
    for (let i = 0; i + 1 < pairs.length; i += 2) {
      writePair(writer, ResponseTag.Pairs, pairs[i]!, pairs[i + 1]!)
    }
  }
}

function writeFailure(writer: ProtoWriter, kind: RawKind, error: string): void {
  if (hasPairs(kind)) writeMessageError(writer, ResponseTag.RegionError, error)
  else writer.textField(ResponseTag.Error, error)
}

/** A whole message: the response of a unary call. */
export function decodeResponse(kind: RawKind, bytes: Buffer): RawResponse {
  return readResponse(new ProtoReader(bytes), kind)
}

/** The fields of a response, up to the end of the entered message. @hot */
export function readResponse(reader: ProtoReader, kind: RawKind): RawResponse {
  if (kind === RawKind.Get) return readGetResponse(reader)
  if (hasPairs(kind)) return readPairsResponse(reader)
  let failure: RawResponse | undefined
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    failure = readFailure(reader, tag, true) ?? failure
  }
  return failure ?? OK_RESPONSE
}

function readGetResponse(reader: ProtoReader): RawResponse {
  let value: Buffer = EMPTY
  let notFound = false
  let failure: RawResponse | undefined
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === ResponseTag.Value) value = reader.bytes()
    else if (tag === ResponseTag.NotFound) notFound = reader.bool()
    else failure = readFailure(reader, tag, true) ?? failure
  }
  return failure ?? valueResponse(notFound ? undefined : value)
}

function readPairsResponse(reader: ProtoReader): RawResponse {
  const pairs: Buffer[] = []
  let failure: RawResponse | undefined
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === ResponseTag.Pairs) readPair(reader, pairs, pairs)
    else failure = readFailure(reader, tag, false) ?? failure
  }
  return failure ?? pairsResponse(pairs.length === 0 ? NO_BUFFERS : pairs)
}

function readFailure(reader: ProtoReader, tag: number, hasError: boolean): RawResponse | undefined {
  if (tag === ResponseTag.RegionError) {
    const outer = reader.enter()
    const error = readRegionError(reader)
    reader.leave(outer)
    return typeof error === 'string' ? errorResponse(error) : regionErrorResponse(error)
  }
  if (hasError && tag === ResponseTag.Error) {
    const error = reader.text()
    return error === '' ? undefined : errorResponse(error)
  }
  reader.skip(tag)
  return undefined
}
