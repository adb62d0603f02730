import { expect, test } from 'vitest'
import {
  formatAddress,
  isWildcard,
  parseAddress,
  stripScheme,
  tryParseAddress,
} from '../../src/base/address.ts'

test.each([
  ['127.0.0.1:20160', { host: '127.0.0.1', port: 20160 }],
  ['node-1.example:0', { host: 'node-1.example', port: 0 }],
  ['[::1]:65535', { host: '::1', port: 65535 }],
])('%s', (text, parsed) => {
  expect(parseAddress(text)).toEqual(parsed)
  expect(formatAddress(parsed.host, parsed.port)).toBe(text)
})

test.each([
  ...['', 'host', 'host:', ':1', 'host:x', 'host:65536', 'host:-1', 'host:1 ', '[]:1'],
  ...['http://host:1', 'a b:1'],
])('%j is no address', (text) => {
  expect(tryParseAddress(text)).toBeUndefined()
  expect(() => parseAddress(text)).toThrow('is not an address of form host:port')
})

test.each([
  ['0.0.0.0:1', true],
  ['[::]:1', true],
  ['*:1', true],
  ['127.0.0.1:1', false],
])('%s stands for every interface: %s', (text, whether) => {
  expect(isWildcard(parseAddress(text).host)).toBe(whether)
})

test.each([
  ['pd:2379', 'pd:2379'],
  ['http://pd:2379', 'pd:2379'],
  ['https://[::1]:2379//', '[::1]:2379'],
  [' http://pd:2379/ ', 'pd:2379'],
  ['ftp://pd:2379', 'ftp://pd:2379'],
  ['http://', ''],
])('of the endpoint %j is left %j', (endpoint, address) => {
  expect(stripScheme(endpoint)).toBe(address)
})
