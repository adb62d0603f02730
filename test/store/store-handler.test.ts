import { expect, it } from 'vitest'
import type { Region } from '../../src/region/region.ts'
import { isCurrentRegion, type StoreRouter } from '../../src/store/store-handler.ts'

const REGION: Region = {
  id: 7,
  startKey: Buffer.alloc(0),
  endKey: Buffer.alloc(0),
  epoch: { confVer: 1, version: 1 },
  peers: [],
}

it.each([
  ['its peer is here as it was', { region: REGION }, true],
  ['its peer is gone', undefined, false],
  ['it has changed', { region: { ...REGION } }, false],
  ['its data is being replaced', { region: REGION, install: { kind: 'waiting' } }, false],
  ['its peer is being destroyed', { region: REGION, destroying: {} }, false],
])('a read that waited may be run: %s', (_what, peer, current) => {
  const router = { get: (id: number) => (id === 7 ? peer : undefined) }
  expect(isCurrentRegion(router as unknown as StoreRouter, REGION)).toBe(current)
})
