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

export const tikvServiceDefinition = {
  RawGet: method('RawGet', false),
  RawBatchGet: method('RawBatchGet', false),
  RawPut: method('RawPut', false),
  RawBatchPut: method('RawBatchPut', false),
  RawDelete: method('RawDelete', false),
  RawBatchDelete: method('RawBatchDelete', false),
  RawScan: method('RawScan', false),
  BatchCommands: method('BatchCommands', true),
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
