/** Membership changes over whole stores, with the test in PD's place. */
import { afterEach, describe, expect, it } from 'vitest'
import { PeerRole } from '../../src/region/region.ts'
import { StoreHarness } from './harness.ts'
import { Members } from './members.ts'

let harness: StoreHarness | undefined

afterEach(async () => {
  await harness?.close()
  harness = undefined
})

async function start(options: Parameters<typeof StoreHarness.start>[0] = {}): Promise<Members> {
  harness = await StoreHarness.start(options)
  await harness.write(0, 50)
  return new Members(harness)
}

describe('a new store', () => {
  it('takes the place of another one: learner, snapshot, voter, and the other is gone', async () => {
    const members = await start()
    await harness!.startStore(4)
    const peer = await members.addLearner(4)
    await members.become('1 2 3 4l')
    await members.caughtUp(peer)
    const status = harness!.stores.get(4)!.regionStatus(members.regionId)!
    expect(status.role).toBe('learner')
    await members.promote(peer)
    if ((await members.leader()) === 3) await members.lead(1)
    await members.remove(await members.peerOn(3))
    await members.become('1 2 4')
    await members.goneFrom(3)
    await harness!.write(50, 100)
    await expect.poll(() => harness!.behind(4), { timeout: 20_000 }).toEqual([])
    expect(harness!.stores.get(4)!.metrics().peers_created).toBe(1)
    expect(harness!.stores.get(3)!.metrics().peers_destroyed).toBe(1)
    expect((await members.peerOn(4)).role).toBe(PeerRole.Voter)
    expect(harness!.failures).toEqual([])
  })
})
