/**
 * The gRPC service tikvpb.Tikv as far as it is offered: names and shapes for server and client.
 * Messages pass gRPC as bytes: the codecs of this folder run where the connection's own reader,
 * writer and limits are at hand.
 */
import type { MethodDefinition } from '@grpc/grpc-js'
import { RawKind } from './raw.ts'
import { bytesTag } from './wire.ts'

function identity(bytes: Buffer): Buffer {
  return bytes
}

function method(name: string, stream: boolean): MethodDefinition<Buffer, Buffer> {
  return {
    path: `/tikvpb.Tikv/${name}`,
    requestStream: stream,
    responseStream: stream,
    requestSerialize: identity,
    requestDeserialize: identity,
    responseSerialize: identity,
    responseDeserialize: identity,
  }
}

export const tikvServiceDefinition = {
  RawGet: method('RawGet', false),
  RawBatchGet: method('RawBatchGet', false),
  RawPut: method('RawPut', false),
  RawBatchPut: method('RawBatchPut', false),
  RawDelete: method('RawDelete', false),
  RawBatchDelete: method('RawBatchDelete', false),
  RawScan: method('RawScan', false),
  RawDeleteRange: method('RawDeleteRange', false),
  RawCompareAndSwap: method('RawCompareAndSwap', false),
  RawGetKeyTTL: method('RawGetKeyTTL', false),
  RawCoprocessor: method('RawCoprocessor', false),
  BatchCommands: method('BatchCommands', true),
}

/**
 * Methods that are not run, whose response has an error text (see ERROR_TEXT). TiKV's clients give it
 * to their caller at once; after UNIMPLEMENTED they would try again until their time is up.
 */
export const REFUSED_METHODS = [
  'RawDeleteRange',
  'RawCompareAndSwap',
  'RawGetKeyTTL',
  'RawCoprocessor',
] as const

/** The field for it, in the responses of all raw writes and of the methods above. */
export const ERROR_TEXT = bytesTag(2)

export function notSupported(what: string): string {
  return `${what} is not supported by this server version`
}

/** Unary methods by the kind of request they take. */
export const UNARY_KINDS = {
  RawGet: RawKind.Get,
  RawBatchGet: RawKind.BatchGet,
  RawPut: RawKind.Put,
  RawBatchPut: RawKind.BatchPut,
  RawDelete: RawKind.Delete,
  RawBatchDelete: RawKind.BatchDelete,
  RawScan: RawKind.Scan,
} as const
