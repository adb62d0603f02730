/** host:port, as flags and PD have it; IPv6 hosts in brackets. */
import { PolyraftError } from './errors.ts'

export interface HostPort {
  readonly host: string
  readonly port: number
}

export function parseAddress(address: string): HostPort {
  const parsed = tryParseAddress(address)
  if (parsed !== undefined) return parsed
  throw new PolyraftError('InvalidArgument', `"${address}" is not an address of form host:port`)
}

/** Undefined when it is none: a URL is none either. */
export function tryParseAddress(address: string): HostPort | undefined {
  const [, bracketed, digits] = /^([^\s/]+):(\d{1,5})$/.exec(address) ?? []
  if (bracketed === undefined) return undefined
  const host = bracketed.replace(/^\[(.*)\]$/, '$1')
  const port = Number(digits)
  return host === '' || port > 65_535 ? undefined : { host, port }
}

/** Of an endpoint of PD, which may be a URL: what is to be an address in it. */
export function stripScheme(endpoint: string): string {
  return endpoint
    .trim()
    .replace(/^https?:\/\//, '')
    .replace(/\/+$/, '')
}

export function formatAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** Stands for every interface of a machine: one listens on it, but nobody can be told it. */
export function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::' || host === '*'
}
