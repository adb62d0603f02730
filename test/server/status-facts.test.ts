import { expect, test } from 'vitest'
import { GIB, MIB } from '../../src/base/limits.ts'
import { statusFacts } from '../../src/server/status-facts.ts'

function textOf(facts: Record<string, unknown>): string[] {
  return statusFacts(facts).map(([name, text]) => `${name}: ${text}`)
}

test('sizes and times have units', () => {
  const disk = { state: 'normal', capacityBytes: 252 * GIB, availableBytes: 1.5 * GIB }
  expect(textOf({ disk, uptimeSeconds: 90 })).toEqual([
    'Disk: 1.50GiB of 252GiB free',
    'Uptime: 90 s',
  ])
})

test('a disk that is full says what is refused', () => {
  const disk = { capacityBytes: GIB, availableBytes: 100 * MIB }
  expect(textOf({ disk: { ...disk, state: 'almost-full' } })).toEqual([
    'Disk: 100MiB of 1.00GiB free, almost full: writes are refused',
  ])
  expect(textOf({ disk: { ...disk, state: 'full' } })).toEqual([
    'Disk: 100MiB of 1.00GiB free, full: writes and deletes are refused',
  ])
})

test('labels read as they are given, and what is not there is none', () => {
  expect(textOf({ labels: { zone: 'a', host: 'h1' }, storeId: 3 })).toEqual([
    'Labels: zone=a, host=h1',
    'Store id: 3',
  ])
  expect(textOf({ labels: {}, peerAddress: '' })).toEqual(['Labels: none', 'Peer address: none'])
})
