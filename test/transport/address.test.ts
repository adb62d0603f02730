import { expect, test } from 'vitest'
import { formatAddress, parseAddress } from '../../src/transport/address.ts'

test.each([
  ['127.0.0.1:20160', { host: '127.0.0.1', port: 20160 }],
  ['node-1.example:0', { host: 'node-1.example', port: 0 }],
  ['[::1]:65535', { host: '::1', port: 65535 }],
])('%s', (text, parsed) => {
  expect(parseAddress(text)).toEqual(parsed)
  expect(formatAddress(parsed.host, parsed.port)).toBe(text)
})

test.each(['', 'host', 'host:', ':1', 'host:x', 'host:65536', 'host:-1', 'host:1 '])(
  '%j is no address',
  (text) => {
    expect(() => parseAddress(text)).toThrow('is not an address of form host:port')
  },
)
