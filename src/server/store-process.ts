/**
 * One storage node: ports first, so that a wrong address fails before any data is touched, then PD,
 * then the store behind the gate. This is the only wiring of a node; what it needs from elsewhere
 * comes in through NodeParts, so that tests put a fake store in its place.
 */
import { Server, ServerCredentials } from '@grpc/grpc-js'
import { formatAddress, type HostPort, isWildcard, parseAddress } from '../base/address.ts'
import { errorMessage, PolyraftError } from '../base/errors.ts'
import type { StoreId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import { eventLoopScheduler, machineClock, machineRandom } from '../base/node-clock.ts'
import { type PdClient, StoreState } from '../pd/port.ts'
import { addHealthService } from '../protocol/health.ts'
import type { StoreService } from '../store/port.ts'
import type { StoreOptions } from '../store/store.ts'
import { createTcpTransport, type TcpTransport } from '../transport/tcp-transport.ts'
import type { LoadedConfig, ServerConfig } from './config.ts'
import { configJson } from './config-sample.ts'
import { grpcServerOptions } from './grpc-options.ts'
import { mustNotRunElsewhere } from './identity-check.ts'
import { bindError, checkPort } from './listen.ts'
import { patientPd, untilPdAnswers } from './patient-pd.ts'
import { type StatusServer, startStatusServer } from './status-server.ts'
import { StoreGate } from './store-gate.ts'
import { addTikvService, type TikvService } from './tikv-service.ts'

export interface NodeParts {
  readonly connectPd: (
    endpoints: readonly string[],
    logger: Logger,
    signal: AbortSignal,
  ) => Promise<PdClient>
  readonly openStore: (options: StoreOptions) => Promise<StoreService>
}

export interface NodeOptions {
  readonly loaded: LoadedConfig
  readonly version: string
  readonly logger: Logger
  readonly parts: NodeParts
  /** The store can do nothing any more; the process should end. */
  readonly onFatal: (error: Error) => void
  /** Gives up a start that is under way; it then rejects, with everything released. */
  readonly signal?: AbortSignal
}

/** How long open calls may go on at close. */
const SHUTDOWN_GRACE_MS = 500

export async function startNode(options: NodeOptions): Promise<StorageNode> {
  const node = new StorageNode(options)
  const giveUp = (): void => node.giveUpStart()
  options.signal?.addEventListener('abort', giveUp)
  try {
    await node.start()
    return node
  } catch (error) {
    await node.close()
    throw error
  } finally {
    options.signal?.removeEventListener('abort', giveUp)
  }
}

export class StorageNode {
  readonly gate = new StoreGate()
  /** Advertised addresses, known once start() has bound them. */
  address = ''
  statusAddress = ''
  peerAddress = ''
  readonly #options: NodeOptions
  readonly #config: ServerConfig
  readonly #grpc = new Server(grpcServerOptions())
  readonly #tikv: TikvService
  #status: StatusServer | undefined = undefined
  #transport: TcpTransport | undefined = undefined
  #pd: PdClient | undefined = undefined
  /** Aborted when the start is over, whichever way. */
  readonly #starting = new AbortController()
  #closing: Promise<void> | undefined = undefined

  constructor(options: NodeOptions) {
    this.#options = options
    this.#config = options.loaded.config
    this.#tikv = addTikvService(this.#grpc, this.gate)
    addHealthService(this.#grpc, () => this.gate.status().ready)
  }

  async start(): Promise<void> {
    const { parts, logger, version, onFatal } = this.#options
    const config = this.#config
    const port = await this.#bindGrpc(config.addr)
    this.address = advertised(config.advertiseAddr, config.addr.host, port)
    this.#status = await this.#startStatus()
    const pd = await this.#connectPd()
    this.#pd = pd
    const store = await parts.openStore({
      dir: config.dataDir,
      config: config.store,
      pd,
      meta: {
        address: this.address,
        statusAddress: this.statusAddress,
        labels: config.labels,
        version,
      },
      createTransport: async (ids, events) => {
        await this.#mustNotRunElsewhere(ids.storeId)
        const transport = await createTcpTransport({
          ...ids,
          listen: config.peerAddr,
          resolve: (storeId) => this.#resolve(storeId),
          events,
          logger,
          random: machineRandom,
        })
        this.#transport = transport
        this.peerAddress = this.#advertisedPeer(transport)
        return { transport, peerAddress: this.peerAddress }
      },
      logger,
      clock: machineClock,
      random: machineRandom,
      scheduler: eventLoopScheduler,
      onFatal,
    })
    this.gate.open(store)
    this.#starting.abort()
  }

  /** The start ends at its next call of PD: the only thing that it ever waits long for. */
  giveUpStart(): void {
    this.#starting.abort()
    void this.#pd?.close()
  }

  /** Not ready → streams end → leaders leave and the store drains → ports close. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await this.gate.close()
    this.#tikv.stopStreams()
    await this.#stopGrpc()
    await this.#pd?.close()
    await this.#status?.close()
  }

  async #connectPd(): Promise<PdClient> {
    const { parts, logger } = this.#options
    const patience = { logger, signal: this.#starting.signal }
    const { pdEndpoints } = this.#config
    const pd = await untilPdAnswers(
      () => parts.connectPd(pdEndpoints, logger, this.#starting.signal),
      patience,
    )
    return patientPd(pd, patience)
  }

  async #bindGrpc(at: HostPort): Promise<number> {
    // gRPC tells of a port in use on standard error too, which may be the user's own.
    if (at.port !== 0) await checkPort(at, '--addr')
    return new Promise((resolve, reject) => {
      const address = formatAddress(at.host, at.port)
      this.#grpc.bindAsync(address, ServerCredentials.createInsecure(), (error, port) => {
        if (error === null) resolve(port)
        else reject(bindError(error, at, '--addr'))
      })
    })
  }

  async #startStatus(): Promise<StatusServer> {
    const config = this.#config
    const status = await startStatusServer({
      listen: config.statusAddr,
      store: this.gate,
      facts: () => this.#facts(),
      config: configJson(this.#options.loaded.values),
      metrics: () => this.#transport?.stats() ?? {},
      logger: this.#options.logger,
    })
    const { port } = parseAddress(status.address)
    const host = isWildcard(config.statusAddr.host)
      ? parseAddress(this.address).host
      : config.statusAddr.host
    this.statusAddress = advertised(config.advertiseStatusAddr, host, port)
    return status
  }

  #facts(): Record<string, unknown> {
    return {
      version: this.#options.version,
      pid: process.pid,
      uptimeSeconds: Math.round(process.uptime()),
      address: this.address,
      peerAddress: this.peerAddress,
      statusAddress: this.statusAddress,
      dataDir: this.#config.dataDir,
      labels: this.#config.labels,
    }
  }

  #advertisedPeer(transport: TcpTransport): string {
    const { advertisePeerAddr, peerAddr } = this.#config
    const { port } = parseAddress(transport.address)
    const host = isWildcard(peerAddr.host) ? parseAddress(this.address).host : peerAddr.host
    return advertised(advertisePeerAddr, host, port)
  }

  #mustNotRunElsewhere(id: StoreId): Promise<void> {
    return mustNotRunElsewhere(this.#pd!, {
      id,
      address: this.address,
      statusAddress: this.statusAddress,
    })
  }

  async #resolve(storeId: StoreId): Promise<string> {
    const meta = await this.#pd!.getStore(storeId)
    if (meta?.state === StoreState.Tombstone) {
      // Its address may be another store's by now.
      throw new PolyraftError('StoreTombstone', `store ${storeId} was removed from the cluster`)
    }
    if (meta === undefined || meta.peerAddress === '') {
      throw new PolyraftError('NotFound', `PD has no address of store ${storeId} for its peers`)
    }
    return meta.peerAddress
  }

  #stopGrpc(): Promise<void> {
    return new Promise((resolve) => {
      const cut = setTimeout(() => this.#grpc.forceShutdown(), SHUTDOWN_GRACE_MS)
      this.#grpc.tryShutdown((error) => {
        clearTimeout(cut)
        if (error !== undefined) {
          this.#options.logger.debug({ reason: errorMessage(error) }, 'calls were cut off')
        }
        resolve()
      })
    })
  }
}

/** An advertised address without a port of its own (port 0) gets the one that was bound. */
function advertised(given: string, host: string, port: number): string {
  if (given === '') return formatAddress(host, port)
  const parsed = parseAddress(given)
  return formatAddress(parsed.host, parsed.port === 0 ? port : parsed.port)
}
