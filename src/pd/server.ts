/** A placement driver process: data directory, PdCore, and a gRPC server in front of it. */
import { createServer } from 'node:net'
import { Server, ServerCredentials, type ServerOptions } from '@grpc/grpc-js'
import { parseAddress, tryParseAddress } from '../base/address.ts'
import type { Clock, Random } from '../base/clock.ts'
import { makeDataDir } from '../base/data-dir.ts'
import { errorMessage, PolyraftError } from '../base/errors.ts'
import { GRPC_MESSAGE_BYTES_MAX, MIB } from '../base/limits.ts'
import type { Logger } from '../base/logger.ts'
import { adminMethods } from '../protocol/admin-services.ts'
import { addHealthService } from '../protocol/health.ts'
import type { WireMember } from '../protocol/pd-messages.ts'
import { metaStorageMethods, pdMethods } from '../protocol/pd-services.ts'
import { adminService } from './admin-service.ts'
import { PdCore } from './core.ts'
import { FilePdStorage } from './file-storage.ts'
import type { BootstrapPlan } from './plan.ts'
import type { ScheduleConfig } from './schedule-config.ts'
import { metaStorageService, pdService } from './service.ts'

/** Clients read 0 as "no leader". */
const MEMBER_ID = 1
/** Between two steps of the patrol over regions and operators. */
const TICK_MS = 500
/** How long open calls may go on at close before they are cut off. */
const SHUTDOWN_GRACE_MS = 200

/**
 * Larger than any request of a store or client, which are about keys and not values: one of 64 MiB may
 * hold tens of millions of list elements, and nothing else happens while they are decoded.
 */
const REQUEST_BYTES_MAX = 4 * MIB

const SERVER_OPTIONS: ServerOptions = {
  'grpc.max_receive_message_length': REQUEST_BYTES_MAX,
  'grpc.max_send_message_length': GRPC_MESSAGE_BYTES_MAX,
  // A client whose machine is gone must not keep its heartbeat stream for ever.
  'grpc.keepalive_time_ms': 60_000,
  'grpc.keepalive_timeout_ms': 20_000,
}

export interface PdOptions {
  readonly dir: string
  /** host:port to listen on; port 0 takes a free one. */
  readonly clientAddr: string
  /** host:port that clients are told; the listening one by default. */
  readonly advertiseClientAddr?: string | undefined
  readonly plan?: BootstrapPlan | undefined
  readonly schedule?: Partial<ScheduleConfig> | undefined
  /** Takes the data directory for this process; the result gives it back. */
  readonly lock?: ((dir: string) => Promise<() => void | Promise<void>>) | undefined
  readonly credentials?: ServerCredentials | undefined
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

export interface PdServer {
  /** host:port it listens on. */
  readonly address: string
  readonly service: PdCore
  metrics(): Record<string, number>
  /** Idempotent. */
  close(): Promise<void>
}

/** Rejects with DataDirLocked, DataDirUnusable, Corruption, ConfigInvalid or AddressInUse. */
export async function startPd(options: PdOptions): Promise<PdServer> {
  const { dir, logger } = options
  mustBeAddress(options.clientAddr)
  if (options.advertiseClientAddr !== undefined) mustBeAddress(options.advertiseClientAddr)
  await makeDataDir(dir)
  const unlock = await options.lock?.(dir)
  let core: PdCore | undefined
  try {
    core = await openCore(options)
    const server = new PdGrpcServer(core, options, unlock)
    await server.listen()
    logger.info({ dir, address: server.address, clusterId: core.clusterId }, 'PD is serving')
    return server
  } catch (error) {
    await core?.close()
    await unlock?.()
    throw error
  }
}

function mustBeAddress(address: string): void {
  if (tryParseAddress(address) !== undefined) return
  throw new PolyraftError('ConfigInvalid', `'${address}' is no PD address: write host:port`)
}

async function openCore(options: PdOptions): Promise<PdCore> {
  const storage = await FilePdStorage.open(options.dir, options.logger)
  try {
    return await PdCore.open({ ...options, storage })
  } catch (error) {
    await storage.close()
    throw error
  }
}

class PdGrpcServer implements PdServer {
  readonly service: PdCore
  address: string
  readonly #server: Server
  readonly #options: PdOptions
  readonly #unlock: (() => void | Promise<void>) | undefined
  #closing: Promise<void> | undefined
  #ticks: NodeJS.Timeout | undefined

  constructor(core: PdCore, options: PdOptions, unlock: (() => void | Promise<void>) | undefined) {
    this.service = core
    this.address = options.clientAddr
    this.#options = options
    this.#unlock = unlock
    this.#server = new Server(SERVER_OPTIONS)
    const { logger } = options
    const member = (): WireMember => this.#member()
    this.#server.addService(pdMethods, pdService({ core, logger, member }))
    this.#server.addService(metaStorageMethods, metaStorageService(core))
    this.#server.addService(adminMethods, adminService(core))
    addHealthService(this.#server, () => core.healthy)
  }

  async listen(): Promise<void> {
    const { clientAddr, credentials } = this.#options
    await mustBeFree(clientAddr)
    await this.#bind(clientAddr, credentials)
    this.#ticks = setInterval(() => this.service.tick(), TICK_MS)
  }

  #bind(clientAddr: string, credentials: ServerCredentials | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const secure = credentials ?? ServerCredentials.createInsecure()
      this.#server.bindAsync(clientAddr, secure, (error, port) => {
        if (error !== null) reject(bindError(clientAddr, error))
        else {
          this.address = `${clientAddr.slice(0, clientAddr.lastIndexOf(':'))}:${port}`
          resolve()
        }
      })
    })
  }

  metrics(): Record<string, number> {
    return this.service.metrics()
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    clearInterval(this.#ticks)
    await this.#shutdown()
    await this.service.close()
    await this.#unlock?.()
  }

  /** Heartbeat streams never end by themselves, so open calls get only a moment. */
  #shutdown(): Promise<void> {
    return new Promise((resolve) => {
      const cut = setTimeout(() => this.#server.forceShutdown(), SHUTDOWN_GRACE_MS)
      this.#server.tryShutdown((error) => {
        clearTimeout(cut)
        const { logger } = this.#options
        if (error !== undefined) logger.debug({ error: error.message }, 'PD calls were cut off')
        resolve()
      })
    })
  }

  #member(): WireMember {
    const scheme = this.#options.credentials === undefined ? 'http' : 'https'
    const url = `${scheme}://${this.#options.advertiseClientAddr ?? this.address}`
    return {
      name: 'pd',
      memberId: MEMBER_ID,
      peerUrls: [url],
      clientUrls: [url],
      leaderPriority: 0,
      deployPath: '',
      binaryVersion: '',
    }
  }
}

function bindError(address: string, error: Error): PolyraftError {
  const inUse = error.message.includes('EADDRINUSE')
  return inUse
    ? new PolyraftError('AddressInUse', `${address} is in use: choose another PD address`, {
        address,
      })
    : new PolyraftError('ConfigInvalid', `cannot listen on ${address}: ${errorMessage(error)}`, {
        address,
      })
}

/** gRPC would tell of a port in use on standard error too, which may be that of a user's program. */
function mustBeFree(address: string): Promise<void> {
  const { host, port } = parseAddress(address)
  const probe = createServer()
  return new Promise((resolve, reject) => {
    probe.once('error', (error) => reject(bindError(address, error)))
    probe.listen({ host, port, exclusive: true }, () => {
      probe.close(() => resolve())
    })
  })
}
