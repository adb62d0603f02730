import { beforeEach, expect, it } from 'vitest'
import { silentLogger } from '../../src/base/logger.ts'
import { Router } from '../../src/batch-system/router.ts'
import type { RegionInfo } from '../../src/pd/port.ts'
import { PeerTag } from '../../src/peer/messages.ts'
import type { Region } from '../../src/region/region.ts'
import { StalePeers } from '../../src/store/stale-peers.ts'
import { StoreFsm, type StoreRouter } from '../../src/store/store-handler.ts'
import { PeerFixture, regionOf } from '../peer/fixture.ts'

let fixture: PeerFixture
let router: StoreRouter
let asked: number[]
/** What PD knows. */
let known: Region | undefined | Error
let stale: StalePeers
let nowMs: number

beforeEach(() => {
  fixture = new PeerFixture(regionOf('1 2 3'))
  router = new Router({ notify: () => {}, notifyControl: () => {} }, new StoreFsm())
  router.register(fixture.peer)
  asked = []
  known = undefined
  nowMs = fixture.nowMs
  stale = new StalePeers({
    pd: {
      getRegionById: async (id) => {
        asked.push(id)
        if (known instanceof Error) throw known
        const none = { leader: undefined, downPeers: [], pendingPeers: [] }
        return known && ({ region: known, ...none } satisfies RegionInfo)
      },
    },
    router,
    clock: { monotonicMs: () => nowMs, wallMs: () => nowMs },
    logger: silentLogger,
    leaderMissingMs: 1000,
  })
})

async function check(): Promise<unknown> {
  stale.check()
  await new Promise((resolve) => setImmediate(resolve))
  return fixture.peer.mailbox.take()
}

it('asks about who heard no leader for long, and tells him when PD does not know him', async () => {
  known = regionOf('2 3', 7)
  expect(await check()).toBeUndefined()
  expect(asked).toEqual([])
  nowMs += 2000
  expect(await check()).toEqual({ tag: PeerTag.Removed, peerId: 10, epoch: known.epoch })
})

it('tells nothing to a member, nor when PD does not know the region, or does not answer', async () => {
  nowMs += 2000
  for (const answer of [regionOf('1 2'), undefined, new Error('away')]) {
    known = answer
    expect(await check()).toBeUndefined()
  }
  expect(asked).toHaveLength(3)
})

it('does not ask for a leader, nor twice at once', async () => {
  nowMs += 2000
  stale.check()
  stale.check()
  expect(asked).toHaveLength(1)
  await check()
  fixture.lead()
  asked.length = 0
  await check()
  expect(asked).toEqual([])
})
