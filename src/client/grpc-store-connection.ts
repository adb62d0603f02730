/**
 * A StoreConnection over gRPC: one TCP connection and one BatchCommands stream, opened when there is
 * something to send. Requests of one event-loop turn leave in one message.
 *
 *   execute ─▶ queue ──(end of turn)──▶ no stream: connect ──▶ stream.writeFrom(queue)
 *                                          │ refused, timed out, backing off: all of it fails, unsent
 *
 * While a store cannot be reached, requests fail at once instead of waiting: the caller has other
 * replicas to ask. gRPC keeps trying to connect in the background with its own back-off. A silent
 * store is found by pings.
 */
import {
  type ChannelCredentials,
  type ChannelOptions,
  Client,
  connectivityState,
  credentials,
  Metadata,
} from '@grpc/grpc-js'
import type { Clock } from '../base/clock.ts'
import { PolyraftError } from '../base/errors.ts'
import { GRPC_MESSAGE_BYTES_MAX, MIB } from '../base/limits.ts'
import { machineClock } from '../base/node-clock.ts'
import { Ring } from '../base/ring.ts'
import { type RawRequest, regionErrorResponse } from '../protocol/raw.ts'
import { tikvServiceDefinition } from '../protocol/tikvpb.ts'
import { CommandStream } from './command-stream.ts'
import type { StoreConnection, StoreConnectionEvents } from './store-connection.ts'

export interface GrpcStoreConnectionOptions {
  /** Requests that may wait for an answer, sent or not; more are answered ServerIsBusy. */
  readonly commandsMax: number
  readonly connectTimeoutMs: number
  /** A ping leaves this often, and is answered within the time-out or the connection is dead. */
  readonly keepaliveTimeMs: number
  readonly keepaliveTimeoutMs: number
  /** After a stream that broke without an answer: wait at least this long, doubling. */
  readonly backoffMinMs: number
  readonly backoffMaxMs: number
  readonly credentials: ChannelCredentials
  /** The one by which requests expire. */
  readonly clock: Clock
}

function defaultGrpcStoreConnectionOptions(): GrpcStoreConnectionOptions {
  return {
    commandsMax: 16_384,
    connectTimeoutMs: 1000,
    keepaliveTimeMs: 1000,
    keepaliveTimeoutMs: 1900,
    backoffMinMs: 50,
    backoffMaxMs: 1000,
    credentials: credentials.createInsecure(),
    clock: machineClock,
  }
}

/** Receive window of a connection: about a round of answers at full speed. */
const FLOW_CONTROL_WINDOW_BYTES = 4 * MIB

export function openGrpcStoreConnection(
  address: string,
  events: StoreConnectionEvents,
  options: Partial<GrpcStoreConnectionOptions> = {},
): StoreConnection {
  const settings = { ...defaultGrpcStoreConnectionOptions(), ...options }
  return new GrpcStoreConnection(address, events, settings)
}

const BUSY = regionErrorResponse({
  code: 'ServerIsBusy',
  message: 'too many requests wait for this store',
  reason: 'the connection is full',
  backoffMs: 10,
})

class GrpcStoreConnection implements StoreConnection {
  readonly address: string
  readonly #events: StoreConnectionEvents
  readonly #options: GrpcStoreConnectionOptions
  readonly #client: Client
  readonly #queue = new Ring<RawRequest>(256)
  readonly #flushBound = (): void => this.#flush()
  #stream: CommandStream | undefined
  #flushScheduled = false
  #connecting = false
  #backoffMs = 0
  #retryAtMs = 0
  #closed: Promise<void> | undefined

  constructor(address: string, events: StoreConnectionEvents, options: GrpcStoreConnectionOptions) {
    this.address = address
    this.#events = events
    this.#options = options
    this.#client = new Client(address, options.credentials, channelOptions(options))
  }

  /** @hot */
  execute(request: RawRequest): void {
    const waiting = this.#queue.length + (this.#stream?.unansweredCount ?? 0)
    if (waiting >= this.#options.commandsMax) {
      request.sink.respond(request, BUSY)
      return
    }
    this.#queue.push(request)
    if (this.#flushScheduled) return
    this.#flushScheduled = true
    setImmediate(this.#flushBound)
  }

  get bytesUnderWay(): number {
    return this.#stream?.bytesUnderWay ?? 0
  }

  giveUp(request: RawRequest): void {
    this.#stream?.giveUp(request)
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    const error = closedError(this.address)
    await this.#stream?.close(error)
    this.#failQueue(error)
    this.#client.close()
  }

  #flush(): void {
    this.#flushScheduled = false
    if (this.#queue.length === 0) return
    if (this.#closed !== undefined) this.#failQueue(closedError(this.address))
    else if (this.#stream !== undefined) this.#writeQueue(this.#stream)
    else if (!this.#connecting) this.#connect()
  }

  #writeQueue(stream: CommandStream): void {
    if (this.#queue.length > 0 && stream.writable) stream.writeFrom(this.#queue)
  }

  #connect(): void {
    const waitMs = this.#retryAtMs - this.#options.clock.monotonicMs()
    if (waitMs > 0) {
      this.#failQueue(unreachable(this.address, `its last stream broke, retry in ${waitMs | 0} ms`))
      return
    }
    this.#connecting = true
    this.#awaitReady(Date.now() + this.#options.connectTimeoutMs)
  }

  #awaitReady(deadline: number): void {
    const channel = this.#client.getChannel()
    const state = channel.getConnectivityState(true)
    if (state === connectivityState.READY) {
      this.#connecting = false
      this.#openStream()
    } else if (state === connectivityState.TRANSIENT_FAILURE) {
      this.#connectFailed('connecting failed')
    } else {
      channel.watchConnectivityState(state, deadline, (error) => {
        if (this.#closed !== undefined) return
        if (error) this.#connectFailed(`no connection in ${this.#options.connectTimeoutMs} ms`)
        else this.#awaitReady(deadline)
      })
    }
  }

  #connectFailed(why: string): void {
    this.#connecting = false
    this.#failQueue(unreachable(this.address, why))
  }

  #openStream(): void {
    const { path, requestSerialize, responseDeserialize } = tikvServiceDefinition.BatchCommands
    const call = this.#client.makeBidiStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      new Metadata(),
      {},
    )
    const { commandsMax, clock } = this.#options
    const stream = new CommandStream(call, commandsMax, clock, {
      onWritable: () => this.#writeQueue(stream),
      onBroken: (unanswered, error) => this.#onBroken(stream, unanswered, error),
    })
    this.#stream = stream
  }

  #onBroken(stream: CommandStream, unanswered: RawRequest[], error: PolyraftError): void {
    this.#stream = undefined
    const { backoffMinMs, backoffMaxMs } = this.#options
    if (stream.answered) this.#backoffMs = 0
    else this.#backoffMs = Math.min(backoffMaxMs, Math.max(backoffMinMs, this.#backoffMs * 2))
    this.#retryAtMs = this.#options.clock.monotonicMs() + this.#backoffMs
    this.#fail(unanswered, error)
  }

  /** Fails what never left, and what `failed` holds already. */
  #fail(failed: RawRequest[], error: PolyraftError): void {
    for (let left = this.#queue.length; left > 0; left--) failed.push(this.#queue.shift()!)
    if (failed.length > 0) this.#events.onFailed(failed, error)
  }

  #failQueue(error: PolyraftError): void {
    this.#fail([], error)
  }
}

function channelOptions(options: GrpcStoreConnectionOptions): ChannelOptions {
  return {
    'grpc.max_receive_message_length': GRPC_MESSAGE_BYTES_MAX,
    'grpc.max_send_message_length': GRPC_MESSAGE_BYTES_MAX,
    'grpc.keepalive_time_ms': options.keepaliveTimeMs,
    'grpc.keepalive_timeout_ms': options.keepaliveTimeoutMs,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1000,
    'grpc.enable_retries': 0,
    'grpc.enable_channelz': 0,
    'grpc.service_config_disable_resolution': 1,
    // Each connection is a TCP connection of its own, also to the same store.
    'grpc.use_local_subchannel_pool': 1,
    'grpc-node.flow_control_window': FLOW_CONTROL_WINDOW_BYTES,
  }
}

function closedError(address: string): PolyraftError {
  return new PolyraftError('Closed', `the connection to ${address} is closed`)
}

function unreachable(address: string, why: string): PolyraftError {
  return new PolyraftError('Unavailable', `store ${address} cannot be reached: ${why}`, { address })
}
