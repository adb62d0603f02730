/**
 * A store that lost its disk: its directory is deleted, the old id is given up, and it starts again
 * as a new store. Real processes, under load. REJOIN_REGIONS=200 runs it with so many regions.
 */
import { rmSync } from 'node:fs'
import { afterEach, describe, expect, it } from 'vitest'
import { silentLogger } from '../../src/base/logger.ts'
import { connect } from '../../src/client/connect.ts'
import type { KvClient } from '../../src/client/kv-client.ts'
import { connectPd } from '../../src/pd/grpc-client.ts'
import { type PdClient, type RegionInfo, StoreState } from '../../src/pd/port.ts'
import { PeerRole, peerOnStore } from '../../src/region/region.ts'
import { AcknowledgedWrites } from './acknowledged.ts'
import { polyraft } from './cli.ts'
import { Processes } from './processes.ts'
import { keysMissingIn } from './stored-values.ts'

const REGIONS = process.env.REJOIN_REGIONS === undefined ? [1, 24] : [+process.env.REJOIN_REGIONS]
const KEYS = 3000
const VALUE = 'v'.repeat(500)

let processes: Processes | undefined
let kv: KvClient | undefined
let pd: PdClient | undefined
let writes: AcknowledgedWrites | undefined

afterEach(async () => {
  await writes?.stop()
  await kv?.close()
  await pd?.close()
  await processes?.destroy()
})

const keyOf = (i: number): string => `${String.fromCharCode(0x21 + ((i * 37) % 94))}old-${i}`

async function regions(): Promise<RegionInfo[]> {
  return pd!.scanRegions(Buffer.alloc(0), Buffer.alloc(0), 0)
}

async function storeIdAt(number: number): Promise<number> {
  const address = processes!.address(number)
  const stores = (await pd!.getAllStores()).filter((store) => store.address === address)
  return Math.max(...stores.map(({ id }) => id))
}

/** Regions that do not have three voters, one on this store, with nobody behind. */
async function unrepaired(storeId: number): Promise<number[]> {
  const wanting = (await regions()).filter(({ region, pendingPeers }) => {
    const voters = region.peers.filter(({ role }) => role === PeerRole.Voter)
    const here = peerOnStore(region, storeId) !== undefined
    return voters.length !== 3 || region.peers.length !== 3 || !here || pendingPeers.length > 0
  })
  return wanting.map(({ region }) => region.id)
}

/** Store 3 has applied, of every region, at least what the others had at the call. */
async function caughtUp(): Promise<void> {
  for (const { region } of await regions()) {
    const views = await Promise.all([1, 2].map((number) => processes!.region(number, region.id)))
    const goal = Math.max(...views.map((view) => view?.appliedIndex ?? 0))
    const applied = async (): Promise<number> =>
      (await processes!.region(3, region.id))?.appliedIndex ?? 0
    await expect.poll(applied, { timeout: 30_000 }).toBeGreaterThanOrEqual(goal)
  }
}

/** A cluster under load whose third store has lost its disk, and starts anew. Both ids of it. */
async function loseDisk(count: number): Promise<{ lost: number; found: number }> {
  processes = await Processes.start(count, '')
  kv = await connect({ pd: [processes.pd], timeoutMs: 20_000 })
  pd = await connectPd([processes.pd], { logger: silentLogger })
  for (let i = 0; i < KEYS; i += 100) {
    await Promise.all(Array.from({ length: 100 }, (_, j) => kv!.put(keyOf(i + j), VALUE)))
  }
  const lost = await storeIdAt(3)
  writes = new AcknowledgedWrites(kv, 'meanwhile')
  writes.start(8)
  await processes.kill(3)
  rmSync(processes.storeDir(3), { recursive: true })
  const args = ['ctl', 'store', 'delete', `${lost}`, '--physically-destroyed']
  const deletion = async () => polyraft([...args, '--pd', processes!.pd])
  const early = await deletion()
  expect([early.code, early.stderr]).toEqual([
    1,
    expect.stringMatching(/may still run.* try again/),
  ])
  // Until it counts as disconnected.
  await expect.poll(deletion, { timeout: 40_000 }).toMatchObject({ code: 0, stderr: '' })
  await processes.startStore(3)
  const found = await storeIdAt(3)
  expect(found).toBeGreaterThan(lost)
  return { lost, found }
}

async function repaired(storeId: number, count: number): Promise<void> {
  await expect
    .poll(() => unrepaired(storeId), { timeout: 60_000 + count * 1500, interval: 250 })
    .toEqual([])
}

/** Nothing that was acknowledged is missing, also not from the engine of store 3 alone. */
async function nothingIsLost(): Promise<void> {
  await writes!.stop()
  expect(writes!.acknowledged.size).toBeGreaterThan(200)
  expect(await writes!.missing(kv!)).toEqual([])
  await caughtUp()
  await processes!.stop(3)
  await mustHold()
}

describe('a store whose disk was lost', () => {
  for (const count of REGIONS) {
    it(`comes back as a new one, with ${count} regions`, async () => {
      const { lost, found } = await loseDisk(count)
      await repaired(found, count)
      expect(await processes!.metric(3, 'peers_initialised')).toBe(count)
      // The lost store is nobody's any more.
      const stateOf = async () => (await pd!.getStore(lost))?.state
      await expect.poll(stateOf, { timeout: 30_000 }).toBe(StoreState.Tombstone)
      // The new replicas count: without one of the old stores writes go on.
      await processes!.kill(1)
      await writes!.more(200)
      await processes!.startStore(1)
      await nothingIsLost()
    }, 600_000)
  }

  it('does so though it and another one are killed on the way', async () => {
    const count = REGIONS.at(-1)!
    const { found } = await loseDisk(count)
    const initialised = () => processes!.metric(3, 'peers_initialised')
    for (const victim of [3, 1, 3]) {
      // In the middle: some replicas are there, others on their way.
      await expect
        .poll(async () => (await initialised()) > 0 || (await unrepaired(found)).length === 0, {
          timeout: 60_000,
          interval: 15,
        })
        .toBe(true)
      await processes!.kill(victim)
      await processes!.startStore(victim)
    }
    await repaired(found, count)
    await nothingIsLost()
  }, 600_000)
})

/** The engine of store 3 alone has every value. */
async function mustHold(): Promise<void> {
  const wanted = new Map(writes!.acknowledged)
  for (let i = 0; i < KEYS; i++) wanted.set(keyOf(i), VALUE)
  expect(await keysMissingIn(processes!.storeDir(3), wanted)).toEqual([])
}
