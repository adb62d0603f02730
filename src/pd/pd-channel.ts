/**
 * The connection of a process to PD: finds the leader through any of the endpoints, also beside some
 * where another service answers, and repeats a call that met transport trouble until its time is up.
 * Every PD request may be repeated: ids and timestamps are only skipped, and registering or
 * bootstrapping twice does what once does.
 */

import { setMaxListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import {
  type CallOptions,
  type ChannelCredentials,
  type ChannelOptions,
  Client,
  type ClientDuplexStream,
  type ClientUnaryCall,
  credentials,
  Metadata,
  type MethodDefinition,
  type ServiceError,
  status,
} from '@grpc/grpc-js'
import { stripScheme, tryParseAddress } from '../base/address.ts'
import { errorMessage, PolyraftError } from '../base/errors.ts'
import type { ClusterId } from '../base/ids.ts'
import { GRPC_MESSAGE_BYTES_MAX } from '../base/limits.ts'
import type { Logger } from '../base/logger.ts'
import type { GetMembersResponse, HeaderResponse, RequestHeader } from '../protocol/pd-messages.ts'
import { pdMethods } from '../protocol/pd-services.ts'
import { clusterMismatch, mustBeOk } from './wire-errors.ts'

const TIMEOUT_MS_DEFAULT = 5000
const BACKOFF_MS_MIN = 50
const BACKOFF_MS_MAX = 500
/** Of one try: gRPC refuses deadlines that are too far away, and timers end here. */
const TRY_MS_MAX = 2 ** 31 - 1

const CHANNEL_OPTIONS: ChannelOptions = {
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 3000,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1000,
  'grpc.max_receive_message_length': GRPC_MESSAGE_BYTES_MAX,
  'grpc.max_send_message_length': GRPC_MESSAGE_BYTES_MAX,
}

export interface PdChannelOptions {
  readonly logger: Logger
  /** For one call, its repetitions included. Default 5 s. */
  readonly timeoutMs?: number | undefined
  readonly credentials?: ChannelCredentials | undefined
  /** Ends the search for a leader at the start; a channel that was made is closed by close(). */
  readonly signal?: AbortSignal | undefined
}

/** What a call sends; the channel adds the header. */
type Body<Request> = Omit<Request, 'header'>

export class PdChannel {
  readonly clusterId: ClusterId
  readonly timeoutMs: number
  readonly #endpoints: readonly string[]
  readonly #options: PdChannelOptions
  readonly #calls = new Set<ClientUnaryCall>()
  readonly #closing = new AbortController()
  #client: Client
  #address: string
  /** Addresses of all members, as of the last look. */
  #members: readonly string[]

  private constructor(endpoints: readonly string[], options: PdChannelOptions, found: Found) {
    this.clusterId = found.clusterId
    this.timeoutMs = options.timeoutMs ?? TIMEOUT_MS_DEFAULT
    this.#endpoints = endpoints
    // The signal is about the first search for a leader only.
    this.#options = { ...options, signal: undefined }
    this.#address = found.leader
    this.#members = found.members
    this.#client = newClient(found.leader, options)
    // One for each call that waits to be repeated.
    setMaxListeners(0, this.#closing.signal)
  }

  static async connect(
    endpoints: readonly string[],
    options: PdChannelOptions,
  ): Promise<PdChannel> {
    const addresses = endpoints.map(addressOf)
    if (addresses.length === 0) throw new PolyraftError('ConfigInvalid', 'no PD endpoint is given')
    const deadline = Date.now() + (options.timeoutMs ?? TIMEOUT_MS_DEFAULT)
    const strangers: Strangers = new Map()
    let trouble: unknown
    for (;;) {
      try {
        const found = await findLeader(addresses, options, deadline, strangers)
        return new PdChannel(addresses, options, found)
      } catch (error) {
        if (!isTransportError(error)) throw error
        mustNotBeAborted(options.signal)
        // That the time is up, the last try always says; an earlier one may know why.
        if (trouble === undefined || !isTimeout(error)) trouble = error
        if (Date.now() + BACKOFF_MS_MIN >= deadline) {
          throw unavailable(addresses, trouble, strangers)
        }
        await delay(BACKOFF_MS_MIN)
      }
    }
  }

  header(): RequestHeader {
    return {
      clusterId: this.clusterId,
      senderId: 0,
      callerId: 'polyraft',
      callerComponent: 'polyraft',
    }
  }

  /** A call of pdpb.PD. */
  async call<Request extends object, Response extends HeaderResponse>(
    method: MethodDefinition<Request, Response>,
    body: Body<Request>,
  ): Promise<Response> {
    const request = { header: this.header(), ...body } as unknown as Request
    const response = await this.callRaw(method, request)
    mustBeOk(response.header, this.clusterId)
    return response
  }

  /** A call whose request and answer are taken as they are. */
  async callRaw<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
  ): Promise<Response> {
    const deadline = Date.now() + this.timeoutMs
    for (let backoffMs = BACKOFF_MS_MIN; ; backoffMs = Math.min(2 * backoffMs, BACKOFF_MS_MAX)) {
      this.#mustBeOpen()
      try {
        // Half of the time at most for one try, so that a dead connection leaves time for another.
        const tryUntil = Math.min(deadline, Date.now() + this.timeoutMs / 2)
        return await callOnce(this.#client, method, request, tryUntil, this.#calls)
      } catch (error) {
        this.#mustBeOpen()
        if (!isTransportError(error)) throw refusal(error)
        if (Date.now() + backoffMs >= deadline) throw unavailable(this.#endpoints, error)
        await this.#pause(backoffMs)
        await this.#followLeader(deadline)
      }
    }
  }

  openStream<Request, Response>(
    method: MethodDefinition<Request, Response>,
  ): ClientDuplexStream<Request, Response> {
    this.#mustBeOpen()
    const { path, requestSerialize, responseDeserialize } = method
    return this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize)
  }

  close(): void {
    if (this.#closing.signal.aborted) return
    this.#closing.abort()
    for (const call of this.#calls) call.cancel()
    this.#client.close()
  }

  async #pause(ms: number): Promise<void> {
    try {
      await delay(ms, undefined, { signal: this.#closing.signal })
    } catch {
      this.#mustBeOpen()
    }
  }

  /** With one PD there is nobody else to ask: its channel reconnects by itself. */
  async #followLeader(deadline: number): Promise<void> {
    const known = [...new Set([this.#address, ...this.#members, ...this.#endpoints])]
    if (known.length === 1) return
    try {
      const found = await findLeader(known, this.#options, deadline)
      if (found.clusterId !== this.clusterId) {
        throw clusterMismatch(this.clusterId, found.clusterId)
      }
      this.#mustBeOpen()
      this.#moveTo(found)
    } catch (error) {
      if (!isTransportError(error)) throw error
      this.#options.logger.debug({ error: errorMessage(error) }, 'no PD endpoint answers')
    }
  }

  #moveTo(found: Found): void {
    this.#members = found.members
    if (found.leader === this.#address) return
    this.#options.logger.info({ from: this.#address, to: found.leader }, 'PD has a new leader')
    this.#client.close()
    this.#address = found.leader
    this.#client = newClient(found.leader, this.#options)
  }

  #mustBeOpen(): void {
    if (this.#closing.signal.aborted) throw new PolyraftError('Closed', 'the PD client is closed')
  }
}

interface Found {
  readonly clusterId: ClusterId
  readonly leader: string
  readonly members: readonly string[]
}

/** Addresses at which another service answers, and what it said. */
type Strangers = Map<string, string>

/** Asks the addresses in turn, each for a fair share of the time left. */
async function findLeader(
  addresses: readonly string[],
  options: PdChannelOptions,
  deadline: number,
  strangers: Strangers = new Map(),
): Promise<Found> {
  let trouble: unknown
  for (let i = 0; i < addresses.length; i++) {
    const address = addresses[i]!
    const shareMs = Math.max(0, deadline - Date.now()) / (addresses.length - i)
    const client = newClient(address, options)
    const calls = new Set<ClientUnaryCall>()
    const onAbort = (): void => {
      for (const call of calls) call.cancel()
    }
    options.signal?.addEventListener('abort', onAbort)
    try {
      mustNotBeAborted(options.signal)
      const request = { header: undefined }
      const tryUntil = Date.now() + shareMs
      const response = await callOnce(client, pdMethods.getMembers, request, tryUntil, calls)
      return foundIn(response, address)
    } catch (error) {
      if (isStranger(error)) strangers.set(address, reason(error))
      else if (isTransportError(error)) trouble = error
      else throw refusal(error)
    } finally {
      options.signal?.removeEventListener('abort', onAbort)
      client.close()
    }
  }
  throw trouble ?? nobodyIsPd(addresses, strangers)
}

function mustNotBeAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new PolyraftError('Closed', 'the search for PD was given up')
}

function foundIn(response: GetMembersResponse, asked: string): Found {
  mustBeOk(response.header, 0)
  const leader = response.leader?.clientUrls[0]
  const members = response.members.flatMap((member) => member.clientUrls.map(addressOf))
  const clusterId = response.header!.clusterId
  return { clusterId, leader: leader === undefined ? asked : addressOf(leader), members }
}

function callOnce<Request, Response>(
  client: Client,
  method: MethodDefinition<Request, Response>,
  request: Request,
  deadline: number,
  calls: Set<ClientUnaryCall>,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const options: CallOptions = { deadline: Math.min(deadline, Date.now() + TRY_MS_MAX) }
    const { path, requestSerialize, responseDeserialize } = method
    const call = client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      new Metadata(),
      options,
      (error, response) => {
        calls.delete(call)
        if (error !== null) reject(error)
        else resolve(response!)
      },
    )
    calls.add(call)
  })
}

function newClient(address: string, options: PdChannelOptions): Client {
  const secure = options.credentials ?? credentials.createInsecure()
  return new Client(address, secure, CHANNEL_OPTIONS)
}

/** `http://host:port` or `host:port`, as `host:port`; a list may have spaces behind its commas. */
function addressOf(endpoint: string): string {
  const address = stripScheme(endpoint)
  if ((tryParseAddress(address)?.port ?? 0) > 0) return address
  throw new PolyraftError(
    'ConfigInvalid',
    `'${endpoint}' is no PD endpoint: write host:port, with a port from 1 to 65535`,
  )
}

const TRANSPORT_STATUS: ReadonlySet<number> = new Set([
  status.UNAVAILABLE,
  status.DEADLINE_EXCEEDED,
  status.CANCELLED,
  status.INTERNAL,
  status.UNKNOWN,
])

/** What a server makes of a service that it lacks; and gRPC of HTTP's 404, 401 and 403. */
const STRANGER_STATUS: ReadonlySet<number> = new Set([
  status.UNIMPLEMENTED,
  status.UNAUTHENTICATED,
  status.PERMISSION_DENIED,
])

/** Whoever answered the question for PD's members so is no PD. */
function isStranger(error: unknown): boolean {
  return STRANGER_STATUS.has((error as Partial<ServiceError>).code ?? -1)
}

function isTransportError(error: unknown): boolean {
  if (error instanceof PolyraftError) return false
  return TRANSPORT_STATUS.has((error as Partial<ServiceError>).code ?? -1)
}

function isTimeout(error: unknown): boolean {
  return (error as Partial<ServiceError>).code === status.DEADLINE_EXCEEDED
}

function refusal(error: unknown): unknown {
  const code = (error as Partial<ServiceError>).code
  if (error instanceof PolyraftError || typeof code !== 'number') return error
  const kind = code === status.UNIMPLEMENTED ? 'Unsupported' : 'Internal'
  const message = `the PD refused a call: ${errorMessage(error)}`
  return new PolyraftError(kind, message, {}, { cause: error })
}

function unavailable(
  endpoints: readonly string[],
  cause: unknown,
  strangers: Strangers = new Map(),
): PolyraftError {
  const reasons = [reason(cause), ...describeStrangers(strangers)].join('; ')
  const message = `no PD answers at ${endpoints.join(', ')}: ${reasons}`
  return new PolyraftError('Unavailable', message, { endpoints }, { cause })
}

function nobodyIsPd(endpoints: readonly string[], strangers: Strangers): PolyraftError {
  const reasons = describeStrangers(strangers).join('; ')
  const message = `no PD answers at ${endpoints.join(', ')}: ${reasons}`
  return new PolyraftError('Unsupported', message, { endpoints })
}

function describeStrangers(strangers: Strangers): string[] {
  return [...strangers].map(([address, said]) => `${address} is another service (${said})`)
}

/** Without what gRPC wraps around it. */
function reason(error: unknown): string {
  return errorMessage(error)
    .replace(/^\d+ [A-Z_]+: (No connection established\. Last error: (Error: )?)?/, '')
    .replace(/\.? Resolution note: $/, '')
}
