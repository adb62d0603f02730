/**
 * Just enough of etcd's gRPC API (KV.Put, KV.Range) to load it: HTTP/2 streams and two hand-written
 * messages, so that the client's own cost stays small beside the server's.
 *
 *   PutRequest    1 key | 2 value          RangeRequest  1 key   (linearizable by default)
 */
import { type ClientHttp2Session, connect, constants } from 'node:http2'

const PUT = '/etcdserverpb.KV/Put'
const RANGE = '/etcdserverpb.KV/Range'
const NO_FLAGS = { endStream: false }

export class EtcdClient {
  readonly #session: ClientHttp2Session

  constructor(endpoint: string) {
    this.#session = connect(endpoint, {
      settings: { initialWindowSize: 1 << 20 },
      peerMaxConcurrentStreams: 4096,
    })
    // Failures are told by the streams that they end.
    this.#session.on('error', () => {})
  }

  put(key: Buffer, value: Buffer, done: (error: Error | undefined) => void): void {
    this.#call(PUT, Buffer.concat([field(1, key), field(2, value)]), done)
  }

  get(key: Buffer, done: (error: Error | undefined) => void): void {
    this.#call(RANGE, field(1, key), done)
  }

  /** What is under way fails. */
  close(): Promise<void> {
    if (this.#session.destroyed) return Promise.resolve()
    return new Promise((resolve) => {
      this.#session.once('close', resolve)
      this.#session.destroy()
    })
  }

  #call(path: string, message: Buffer, done: (error: Error | undefined) => void): void {
    if (this.#session.destroyed) {
      setImmediate(done, new Error('etcd: the connection is closed'))
      return
    }
    const stream = this.#session.request(
      {
        [constants.HTTP2_HEADER_METHOD]: 'POST',
        [constants.HTTP2_HEADER_PATH]: path,
        [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
        [constants.HTTP2_HEADER_TE]: 'trailers',
      },
      NO_FLAGS,
    )
    let status: string | undefined
    let failure: Error | undefined
    const takeStatus = (headers: Record<string, unknown>): void => {
      if (headers['grpc-status'] !== undefined) {
        status = String(headers['grpc-status'])
        if (status !== '0') failure = new Error(`etcd: ${String(headers['grpc-message'])}`)
      }
    }
    stream.on('response', takeStatus)
    stream.on('trailers', takeStatus)
    stream.on('error', (error: Error) => {
      failure ??= error
    })
    stream.on('close', () => {
      done(
        failure ?? (status === undefined ? new Error('etcd: the stream ended early') : undefined),
      )
    })
    stream.resume()
    stream.end(frame(message))
  }
}

/** gRPC message frame: not compressed, length, bytes. */
function frame(message: Buffer): Buffer {
  const framed = Buffer.allocUnsafe(5 + message.length)
  framed[0] = 0
  framed.writeUInt32BE(message.length, 1)
  message.copy(framed, 5)
  return framed
}

/** A length-delimited protobuf field. */
function field(number: number, bytes: Buffer): Buffer {
  const head: number[] = [(number << 3) | 2]
  let length = bytes.length
  for (; length > 0x7f; length >>>= 7) head.push((length & 0x7f) | 0x80)
  head.push(length)
  return Buffer.concat([Buffer.from(head), bytes])
}
