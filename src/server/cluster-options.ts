/** What a program gives to openCluster, checked before anything is made. */
import { type HostPort, isWildcard, stripScheme, tryParseAddress } from '../base/address.ts'
import { PolyraftError } from '../base/errors.ts'
import { type Logger, silentLogger } from '../base/logger.ts'
import { mustBeKnown, type OptionNames } from '../base/options.ts'
import { type CallOptions, checkCallOptions } from '../client/call-options.ts'
import type { StoreConfig } from '../store/config.ts'
import { describeValue, isTexts } from './config-values.ts'
import { embeddedConfig } from './embedded-config.ts'

export interface ClusterOptions extends CallOptions {
  /** Data directory; made if it is not there, resumed if it is. */
  readonly dir: string
  /**
   * Stores in this process, 1 or 3. Fixed by the first start; default: as many as `dir` has, 1 when it
   * is new.
   */
  readonly stores?: 1 | 3
  /** Regions that a new cluster begins with; default 1. */
  readonly regions?: number
  /** To join a cluster: host:port at which clients reach this store. */
  readonly addr?: string
  /** To join a cluster: host:port of its placement drivers; as one string separated by commas. */
  readonly pd?: string | readonly string[]
  readonly config?: Partial<StoreConfig>
  /** Default: none. */
  readonly logger?: Logger
  /**
   * A store of this process failed for good (its disk, say) and stopped. Default: throws, which ends
   * the process unless it handles uncaught exceptions.
   */
  readonly onFatal?: (error: Error) => void
}

/** The same with its defaults, and sound as far as it can be told without looking at `dir`. */
export interface CheckedOptions {
  readonly dir: string
  /** Undefined: as many as `dir` has. */
  readonly stores: number | undefined
  readonly regions: number
  /** Undefined: the whole cluster is here. */
  readonly joined: JoinAddresses | undefined
  readonly calls: Required<CallOptions>
  readonly config: StoreConfig
  readonly logger: Logger
  readonly onFatal: (error: Error) => void
}

export interface JoinAddresses {
  readonly addr: string
  readonly pd: readonly string[]
}

const OPTIONS: OptionNames<ClusterOptions> = {
  dir: true,
  stores: true,
  regions: true,
  addr: true,
  pd: true,
  timeoutMs: true,
  retryWrites: true,
  config: true,
  logger: true,
  onFatal: true,
}

/** Throws InvalidArgument, or ConfigInvalid for what is in `config`. */
export function checkOptions(options: ClusterOptions): CheckedOptions {
  mustBeKnown('openCluster', options, OPTIONS)
  const { dir, stores, regions = 1 } = options
  const { logger = silentLogger, onFatal = rethrow } = options
  if (typeof dir !== 'string' || dir === '') {
    throw invalid(`dir is a path, not ${describeValue(dir)}`)
  }
  for (const level of ['debug', 'info', 'warn', 'error'] as const) {
    if (typeof logger?.[level] !== 'function') throw invalid(`logger has no ${level}()`)
  }
  if (typeof onFatal !== 'function') {
    throw invalid(`onFatal is a function, not ${describeValue(onFatal)}`)
  }
  const calls = checkCallOptions(options)
  const joined = joinAddresses(options)
  const config = embeddedConfig(options.config)
  return { dir, stores, regions, joined, calls, config, logger, onFatal }
}

function rethrow(error: Error): never {
  throw error
}

/** Undefined: nothing is joined, the whole cluster is here. */
function joinAddresses({ addr, pd }: ClusterOptions): JoinAddresses | undefined {
  if (addr === undefined && pd === undefined) return undefined
  if (addr === undefined || pd === undefined) {
    throw invalid('to join a cluster give both addr and pd')
  }
  const list = typeof pd === 'string' ? pd.split(',') : pd
  if (!isTexts(list)) throw invalid(`pd is a list of addresses, not ${describeValue(pd)}`)
  const endpoints = list.map(stripScheme)
  if (endpoints.length === 0) throw invalid('pd names no placement driver')
  for (const each of endpoints) mustBeAddress('pd', each)
  if (isWildcard(mustBeAddress('addr', addr).host)) {
    throw invalid(`addr is what others are told: ${addr} stands for every interface, name one`)
  }
  return { addr, pd: endpoints }
}

function mustBeAddress(option: string, text: string): HostPort {
  const parsed = tryParseAddress(text)
  if (parsed !== undefined) return parsed
  throw invalid(`${option}: "${text}" is not an address of form host:port`)
}

function invalid(problem: string): PolyraftError {
  return new PolyraftError('InvalidArgument', problem)
}
