/**
 * Transport over TCP: one connection per ordered pair of stores. A store dials the others to send
 * and accepts from them to receive, so a link has one direction and one owner.
 *
 * INVARIANT: of one other store at most one accepted connection is read; a newer one replaces the
 * older, so messages of a pair never overtake each other.
 */
import { createServer, type Server, type Socket } from 'node:net'
import { formatAddress, type HostPort } from '../base/address.ts'
import type { Random } from '../base/clock.ts'
import { PolyraftError, systemErrorCode } from '../base/errors.ts'
import type { ClusterId, StoreId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import { dial } from './dial.ts'
import { TRANSPORT_VERSION } from './handshake.ts'
import { type InboundContext, InboundLink } from './inbound-link.ts'
import { defaultTransportLimits, type TransportLimits } from './limits.ts'
import { type LinkContext, OutboundLink } from './outbound-link.ts'
import type {
  AddressResolver,
  RaftEnvelope,
  SnapshotOutcome,
  SnapshotSource,
  Transport,
  TransportEvents,
} from './port.ts'
import { Silence } from './silence.ts'
import { SnapshotLinks } from './snapshot-links.ts'
import { TransportStats } from './stats.ts'

/** How long close() lets the last frames leave. */
const CLOSE_GRACE_MS = 500

export interface TcpTransportOptions {
  readonly clusterId: ClusterId
  readonly storeId: StoreId
  /** Port 0 takes a free one; see TcpTransport.address. */
  readonly listen: HostPort
  readonly resolve: AddressResolver
  readonly events: TransportEvents
  readonly logger: Logger
  readonly random: Random
  readonly limits?: Partial<TransportLimits>
}

/** Listens; rejects with AddressInUse or Unavailable when it cannot. */
export async function createTcpTransport(options: TcpTransportOptions): Promise<TcpTransport> {
  const server = createServer({ noDelay: true })
  await listen(server, options.listen)
  return new TcpTransport(options, server)
}

function listen(server: Server, at: HostPort): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(listenError(error, at)))
    server.listen({ host: at.host, port: at.port, exclusive: true }, () => {
      server.removeAllListeners('error')
      resolve()
    })
  })
}

function listenError(error: Error, at: HostPort): PolyraftError {
  const address = formatAddress(at.host, at.port)
  if (systemErrorCode(error) === 'EADDRINUSE') {
    return new PolyraftError(
      'AddressInUse',
      `${address} for other stores is in use: stop the program that has it, or choose another`,
      { address },
    )
  }
  const message = `cannot listen on ${address} for other stores: ${error.message}`
  return new PolyraftError('Unavailable', message, { address }, { cause: error })
}

export class TcpTransport implements Transport {
  /** host:port with the real port. */
  readonly address: string
  readonly #options: TcpTransportOptions
  readonly #server: Server
  readonly #stats = new TransportStats()
  readonly #limits: TransportLimits
  readonly #linkContext: LinkContext
  readonly #outbound = new Map<StoreId, OutboundLink>()
  /** Links with something queued since the last flush. */
  #dirty: OutboundLink[] = []
  readonly #inbound = new Set<InboundLink>()
  readonly #snapshots: SnapshotLinks
  readonly #accepted = new Map<StoreId, InboundLink>()
  readonly #silence = new Silence()
  readonly #aliveTimer: NodeJS.Timeout
  #closed: Promise<void> | undefined = undefined

  constructor(options: TcpTransportOptions, server: Server) {
    const bound = server.address()
    const port = typeof bound === 'object' && bound !== null ? bound.port : 0
    this.address = formatAddress(options.listen.host, port)
    this.#options = options
    this.#server = server
    this.#limits = { ...defaultTransportLimits(), ...options.limits }
    this.#linkContext = {
      limits: this.#limits,
      resolve: options.resolve,
      random: options.random,
      logger: options.logger,
      stats: this.#stats,
      onUnreachable: (storeId) => options.events.onUnreachable(storeId),
    }
    this.#snapshots = new SnapshotLinks(options.events, options.logger, this.#limits.stallTimeoutMs)
    const inboundContext = this.#inboundContext()
    server.on('connection', (socket) => {
      this.#inbound.add(new InboundLink(inboundContext, socket))
    })
    server.on('error', (error) => {
      options.logger.error({ reason: error.message }, 'cannot accept links')
    })
    this.#aliveTimer = setInterval(() => this.#stayAlive(), this.#limits.aliveIntervalMs)
    this.#aliveTimer.unref()
  }

  // @hot: once a message
  send(envelope: RaftEnvelope): boolean {
    const link = this.#link(envelope.to.storeId)
    const wasEmpty = link.queuedMessages === 0
    if (!link.send(envelope)) return false
    if (wasEmpty) this.#dirty.push(link)
    return true
  }

  flush(): void {
    if (this.#dirty.length === 0) return
    const dirty = this.#dirty
    this.#dirty = []
    for (let i = 0; i < dirty.length; i++) dirty[i]!.flush()
  }

  sendSnapshot(
    envelope: RaftEnvelope,
    source: SnapshotSource,
    done: (outcome: SnapshotOutcome, reason: string) => void,
  ): void {
    const { clusterId, storeId, resolve } = this.#options
    const hello = {
      version: TRANSPORT_VERSION,
      clusterId,
      fromStoreId: storeId,
      toStoreId: envelope.to.storeId,
    }
    const connect = async (signal: AbortSignal): Promise<Socket> => {
      const address = await resolve(hello.toStoreId)
      signal.throwIfAborted()
      return dial(address, hello, this.#limits.handshakeTimeoutMs, signal, true)
    }
    this.#snapshots.send(envelope, source, connect, done)
  }

  stats(): Record<string, number> {
    let queuedMessages = 0
    let queuedBytes = 0
    let open = 0
    for (const link of this.#outbound.values()) {
      queuedMessages += link.queuedMessages
      queuedBytes += link.queuedBytes
      if (link.isOpen) open++
    }
    return this.#stats.snapshot({
      transport_queued_messages: queuedMessages,
      transport_queued_bytes: queuedBytes,
      transport_links_out: open,
      transport_links_in: this.#accepted.size,
    })
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  #stayAlive(): void {
    for (const link of this.#outbound.values()) link.stayAlive()
    for (const storeId of this.#silence.check()) this.#options.events.onSilent(storeId)
  }

  async #close(): Promise<void> {
    clearInterval(this.#aliveTimer)
    const stopped = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    const ending: Promise<void>[] = []
    for (const link of this.#outbound.values()) {
      const socket = link.close()
      if (socket !== undefined) ending.push(ended(socket))
    }
    for (const link of this.#inbound) link.close()
    this.#snapshots.close()
    await Promise.all([stopped, ...ending])
  }

  #link(storeId: StoreId): OutboundLink {
    let link = this.#outbound.get(storeId)
    if (link === undefined) {
      link = new OutboundLink(this.#linkContext, {
        version: TRANSPORT_VERSION,
        clusterId: this.#options.clusterId,
        fromStoreId: this.#options.storeId,
        toStoreId: storeId,
      })
      if (this.#closed !== undefined) link.close()
      this.#outbound.set(storeId, link)
    }
    return link
  }

  #inboundContext(): InboundContext {
    return {
      clusterId: this.#options.clusterId,
      storeId: this.#options.storeId,
      handshakeTimeoutMs: this.#limits.handshakeTimeoutMs,
      silentTimeoutMs: this.#limits.silentTimeoutMs,
      logger: this.#options.logger,
      stats: this.#stats,
      onAccepted: (link) => this.#onAccepted(link),
      onHeard: (storeId) => this.#silence.heard(storeId),
      onMessages: (envelopes) => this.#options.events.onMessages(envelopes),
      onClosed: (link) => this.#onClosed(link),
      onSnapshotLink: (socket) => this.#snapshots.receive(socket),
    }
  }

  #onAccepted(link: InboundLink): void {
    this.#accepted.get(link.fromStoreId)?.close()
    this.#accepted.set(link.fromStoreId, link)
    this.#outbound.get(link.fromStoreId)?.hurry()
  }

  #onClosed(link: InboundLink): void {
    this.#inbound.delete(link)
    if (this.#accepted.get(link.fromStoreId) !== link) return
    this.#accepted.delete(link.fromStoreId)
    // No need to wait for the silence that follows.
    if (!this.#silence.closed(link.fromStoreId) || this.#closed !== undefined) return
    this.#options.events.onSilent(link.fromStoreId)
  }
}

function ended(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => socket.destroy(), CLOSE_GRACE_MS)
    socket.once('close', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}
