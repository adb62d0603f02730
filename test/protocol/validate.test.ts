import { describe, expect, it } from 'vitest'
import { ENTRY_BYTES_MAX, KEY_BYTES_MAX } from '../../src/base/limits.ts'
import { RawKind, RawRequest } from '../../src/protocol/raw.ts'
import { validateRequest } from '../../src/protocol/validate.ts'
import { noSink } from './arbitraries.ts'

const bytes = (text: string): Buffer => Buffer.from(text)

function check(kind: RawKind, fields: Partial<RawRequest>): string | undefined {
  return validateRequest(Object.assign(new RawRequest(kind, noSink, 0), fields))
}

describe('validateRequest', () => {
  const key = bytes('k')

  it('lets sound requests pass', () => {
    expect(check(RawKind.Get, { key })).toBeUndefined()
    expect(check(RawKind.Put, { key, value: bytes('') })).toBeUndefined()
    expect(check(RawKind.Delete, { key: Buffer.alloc(KEY_BYTES_MAX), cf: 'lock' })).toBeUndefined()
    expect(
      check(RawKind.BatchPut, { keys: [key], values: [bytes('v')], ttls: [0] }),
    ).toBeUndefined()
    expect(check(RawKind.BatchGet, { keys: [key, key], cf: 'write' })).toBeUndefined()
    expect(check(RawKind.Put, { key, value: Buffer.alloc(ENTRY_BYTES_MAX) })).toBeUndefined()
  })

  it.each([
    ['an empty key', RawKind.Get, {}, 'key is empty'],
    [
      'a long key',
      RawKind.Put,
      { key: Buffer.alloc(KEY_BYTES_MAX + 1) },
      'key is 8193 bytes long, the limit is 8192',
    ],
    [
      'a large value',
      RawKind.Put,
      { key, value: Buffer.alloc(ENTRY_BYTES_MAX + 1) },
      'value is 8388609 bytes long, the limit is 8388608',
    ],
    ['an empty key in a batch', RawKind.BatchDelete, { keys: [key, bytes('')] }, 'key is empty'],
    [
      'a large value in a batch',
      RawKind.BatchPut,
      { keys: [key], values: [Buffer.alloc(ENTRY_BYTES_MAX + 1)] },
      'value is 8388609 bytes long, the limit is 8388608',
    ],
    ['keys without values', RawKind.BatchPut, { keys: [key] }, '1 keys have 0 values'],
    [
      'an unknown column family',
      RawKind.Get,
      { key, cf: 'raft' },
      'column family "raft" does not exist, there are default, lock and write',
    ],
    ['a ttl', RawKind.Put, { key, ttls: [60] }, 'TTL is not supported by this server version'],
    [
      'too few ttls',
      RawKind.BatchPut,
      { keys: [key, key, key], values: [key, key, key], ttls: [0, 0] },
      '2 ttls for 3 keys: give none, one, or one a key',
    ],
    [
      'another API version',
      RawKind.Get,
      { key, apiVersion: 2 },
      'API version 2 is not supported by this server, use V1 (0)',
    ],
    [
      'a long bound',
      RawKind.Scan,
      { endKey: Buffer.alloc(KEY_BYTES_MAX + 2) },
      'scan bound is 8194 bytes long, the limit is 8193',
    ],
  ])('refuses %s', (_what, kind, fields, error) => {
    expect(check(kind, fields)).toBe(error)
  })

  it('knows which way round a scan goes', () => {
    const a = bytes('a')
    const b = bytes('b')
    expect(check(RawKind.Scan, {})).toBeUndefined()
    expect(check(RawKind.Scan, { key: a, endKey: b })).toBeUndefined()
    expect(check(RawKind.Scan, { key: a, endKey: a })).toBeUndefined()
    expect(check(RawKind.Scan, { key: b })).toBeUndefined()
    expect(check(RawKind.Scan, { key: b, endKey: a, reverse: true })).toBeUndefined()
    expect(check(RawKind.Scan, { endKey: b, reverse: true })).toBeUndefined()
    expect(check(RawKind.Scan, { key: b, endKey: a })).toMatch(/wrong way round/)
    expect(check(RawKind.Scan, { key: a, endKey: b, reverse: true })).toMatch(/wrong way round/)
  })

  it('lets a scan begin behind the longest key', () => {
    expect(check(RawKind.Scan, { key: Buffer.alloc(KEY_BYTES_MAX + 1) })).toBeUndefined()
  })
})
