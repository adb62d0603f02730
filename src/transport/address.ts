/** host:port, as flags and PD have it; IPv6 hosts in brackets. */
import { PolyraftError } from '../base/errors.ts'

export interface HostPort {
  readonly host: string
  readonly port: number
}

export function parseAddress(address: string): HostPort {
  const colon = address.lastIndexOf(':')
  const digits = address.slice(colon + 1)
  const port = Number(digits)
  const host = address.slice(0, Math.max(colon, 0)).replace(/^\[(.*)\]$/, '$1')
  if (colon < 1 || host === '' || !/^\d{1,5}$/.test(digits) || port > 65_535) {
    throw new PolyraftError('InvalidArgument', `"${address}" is not an address of form host:port`)
  }
  return { host, port }
}

export function formatAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
