/** What a program gives to openCluster, checked before anything is made. */
import { type HostPort, isWildcard, tryParseAddress } from '../base/address.ts'
import { PolyraftError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import type { StoreConfig } from '../store/config.ts'

export interface ClusterOptions {
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
  /** Milliseconds until a request of `kv` fails; default 5000. */
  readonly timeoutMs?: number
  readonly config?: Partial<StoreConfig>
  /** Default: none. */
  readonly logger?: Logger
  /**
   * A store of this process failed for good (its disk, say) and stopped. Default: throws, which ends
   * the process unless it handles uncaught exceptions.
   */
  readonly onFatal?: (error: Error) => void
}

export interface JoinAddresses {
  readonly addr: string
  readonly pd: readonly string[]
}

/** Undefined: nothing is joined, the whole cluster is here. */
export function joinAddresses({ addr, pd }: ClusterOptions): JoinAddresses | undefined {
  if (addr === undefined && pd === undefined) return undefined
  if (addr === undefined || pd === undefined) {
    throw invalid('to join a cluster give both addr and pd')
  }
  const endpoints = (typeof pd === 'string' ? pd.split(',') : pd).map(withoutScheme)
  if (endpoints.length === 0) throw invalid('pd names no placement driver')
  for (const each of endpoints) mustBeAddress('pd', each)
  if (isWildcard(mustBeAddress('addr', addr).host)) {
    throw invalid(`addr is what others are told: ${addr} stands for every interface, name one`)
  }
  return { addr, pd: endpoints }
}

/** As `connect` takes them: a URL is the address in it. */
function withoutScheme(endpoint: string): string {
  return endpoint
    .trim()
    .replace(/^https?:\/\//, '')
    .replace(/\/+$/, '')
}

function mustBeAddress(option: string, text: string): HostPort {
  const parsed = tryParseAddress(text)
  if (parsed !== undefined) return parsed
  throw invalid(`${option}: "${text}" is not an address of form host:port`)
}

function invalid(problem: string): PolyraftError {
  return new PolyraftError('InvalidArgument', problem)
}
