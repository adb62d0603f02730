/**
 * grpc.health.v1.Health, the unary Check only: stores and the placement driver both answer it, and
 * TiKV's clients ask it before they use a member. The messages are one field each, so they are
 * coded by hand and a store needs no protobuf library for them.
 *
 *   HealthCheckRequest   1: string service     ('' = the whole server; every name gets its answer)
 *   HealthCheckResponse  1: enum status        1 = SERVING, 2 = NOT_SERVING
 */
import type { Server, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js'

export const ServingStatus = { Unknown: 0, Serving: 1, NotServing: 2 } as const
export type ServingStatus = (typeof ServingStatus)[keyof typeof ServingStatus]

export interface HealthCheckRequest {
  readonly service: string
}

export interface HealthCheckResponse {
  readonly status: ServingStatus
}

const STATUS_TAG = 0x08
const SERVICE_TAG = 0x0a
/** Longer names would need a second length byte; no client asks for one. */
const SERVICE_BYTES_MAX = 127

function encodeRequest(request: HealthCheckRequest): Buffer {
  const name = Buffer.from(request.service).subarray(0, SERVICE_BYTES_MAX)
  if (name.length === 0) return Buffer.alloc(0)
  return Buffer.concat([Buffer.from([SERVICE_TAG, name.length]), name])
}

function decodeRequest(bytes: Buffer): HealthCheckRequest {
  const named = bytes.length >= 2 && bytes[0] === SERVICE_TAG
  return { service: named ? bytes.toString('utf8', 2, 2 + bytes[1]!) : '' }
}

function encodeResponse(response: HealthCheckResponse): Buffer {
  return Buffer.from([STATUS_TAG, response.status])
}

function decodeResponse(bytes: Buffer): HealthCheckResponse {
  const status = bytes.length >= 2 && bytes[0] === STATUS_TAG ? bytes[1] : ServingStatus.Unknown
  return { status: status as ServingStatus }
}

export const healthServiceDefinition: ServiceDefinition = {
  check: {
    path: '/grpc.health.v1.Health/Check',
    requestStream: false,
    responseStream: false,
    requestSerialize: encodeRequest,
    requestDeserialize: decodeRequest,
    responseSerialize: encodeResponse,
    responseDeserialize: decodeResponse,
  },
}

export function addHealthService(server: Server, isServing: () => boolean): void {
  const implementation: UntypedServiceImplementation = {
    check: (_call: unknown, answer: (error: null, response: HealthCheckResponse) => void): void => {
      answer(null, { status: isServing() ? ServingStatus.Serving : ServingStatus.NotServing })
    },
  }
  server.addService(healthServiceDefinition, implementation)
}
