/** Plain gRPC calls from a method table, as any client makes them. */
import {
  type Client,
  type ClientDuplexStream,
  Metadata,
  type MethodDefinition,
} from '@grpc/grpc-js'
import type * as pb from '../../src/protocol/pd-messages.ts'

export function unaryCall<Q, R>(
  client: Client,
  method: MethodDefinition<Q, R>,
  request: Q,
): Promise<R> {
  return new Promise((resolve, reject) => {
    const { path, requestSerialize, responseDeserialize } = method
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (error, value) =>
      error !== null ? reject(error) : resolve(plain(value!)),
    )
  })
}

/** A decoded message with the fields that it has by default as its own. */
function plain<T>(value: T): T {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value
  if (Array.isArray(value)) return value.map(plain) as T
  const copy: Record<string, unknown> = {}
  for (const name in value) {
    // Not the methods of a message, nor its `$type`.
    if (typeof value[name] !== 'function' && !name.startsWith('$')) copy[name] = plain(value[name])
  }
  return copy as T
}

/** Sends everything, then reads one answer for each. */
export function streamExchange<Q, R>(
  client: Client,
  method: MethodDefinition<Q, R>,
  requests: Q[],
): Promise<R[]> {
  return new Promise((resolve, reject) => {
    const { path, requestSerialize, responseDeserialize } = method
    const stream: ClientDuplexStream<Q, R> = client.makeBidiStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      new Metadata(),
    )
    const answers: R[] = []
    stream.on('data', (answer: R) => answers.push(plain(answer)))
    stream.on('end', () => resolve(answers))
    stream.on('error', reject)
    for (const request of requests) stream.write(request)
    stream.end()
  })
}

export function emptyHeartbeat(header: pb.RequestHeader): pb.RegionHeartbeatRequest {
  return {
    header,
    region: undefined,
    leader: undefined,
    downPeers: [],
    pendingPeers: [],
    bytesWritten: 0,
    bytesRead: 0,
    keysWritten: 0,
    keysRead: 0,
    approximateSize: 0,
    approximateKeys: 0,
    interval: undefined,
    term: 0,
  }
}
