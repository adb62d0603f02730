/**
 * The gRPC service tikvpb.Tikv as far as it is offered: names and shapes for server and client.
 * Messages pass gRPC as bytes: the codecs of this folder run where the connection's own reader,
 * writer and limits are at hand.
 */
import type { MethodDefinition } from '@grpc/grpc-js'
import { RawKind } from './raw.ts'

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

/**
 * Methods that are not run, whose response has an error text where those of raw writes have it. TiKV's
 * clients give it to their caller at once; after UNIMPLEMENTED they would try again until their time is up.
 */
export const REFUSED_METHODS = [
  'RawDeleteRange',
  'RawCompareAndSwap',
  'RawGetKeyTTL',
  'RawCoprocessor',
] as const

export const tikvServiceDefinition = {
  RawGet: method('RawGet', false),
  RawBatchGet: method('RawBatchGet', false),
  RawPut: method('RawPut', false),
  RawBatchPut: method('RawBatchPut', false),
  RawDelete: method('RawDelete', false),
  RawBatchDelete: method('RawBatchDelete', false),
  RawScan: method('RawScan', false),
  ...Object.fromEntries(REFUSED_METHODS.map((name) => [name, method(name, false)])),
  BatchCommands: method('BatchCommands', true),
}

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
