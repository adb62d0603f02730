/** Snapshots and the end of logs, in stories that are told on purpose; campaign.ts tells random ones. */
import { describe, expect, it } from 'vitest'
import { ColumnFamily } from '../../src/engine/port.ts'
import type { Peer } from '../../src/peer/peer.ts'
import { RawKind } from '../../src/protocol/raw.ts'
import { applyStateKey } from '../../src/region/keys.ts'
import { decodeApplyState } from '../../src/region/state.ts'
import { SNAP_DIR } from './sim-life.ts'
import type { SimStore } from './sim-store.ts'
import { World } from './world.ts'

const BEHIND = 3
/** A loaded machine takes a second for each. */
const MANY_WORLDS_MS_MAX = 300_000
const CONFIG = {
  raftLogGcTickIntervalMs: 200,
  raftLogGcThreshold: 5,
  raftLogGcCountLimit: 20,
  raftLogSegmentBytes: 8 * 1024,
}

/** Store 3 is down, and the log that it would need is gone. */
async function worldWithOneBehind(writers = 1): Promise<World> {
  const world = await World.open({ config: { ...CONFIG, storeIoPoolSize: writers } })
  await world.awaitLeader()
  await fill(world, 'old', 20)
  await world.run(300)
  world.store(BEHIND).engine.sync()
  world.stop(BEHIND, 'power-loss')
  await fill(world, 'new', 60)
  const { storeId } = (await world.awaitLeader()).self
  for (let i = 0; i < 20; i++) {
    const key = Buffer.from(`old${i}`)
    await world.answered(world.send(RawKind.Delete, 1, storeId, { key }))
  }
  const last = world.leader()!.raft.lastIndex
  await world.until(() => world.leader()!.raft.firstIndex > last - 40)
  return world
}

async function fill(world: World, prefix: string, count: number): Promise<void> {
  const { storeId } = (await world.awaitLeader()).self
  for (let i = 0; i < count; i++) {
    await world.answered(world.put(storeId, `${prefix}${i}`, `${i}`.padEnd(100, '.')))
  }
}

function truncatedIndexOf({ engine }: SimStore): number {
  return decodeApplyState(engine.get(ColumnFamily.Raft, applyStateKey(1))!).truncatedIndex
}

/** Whatever happened, in the end the replica is whole and nothing is left over. */
async function mustHeal(world: World): Promise<void> {
  for (let starts = 0; !world.store(BEHIND).isUp; starts++) {
    expect(starts).toBeLessThan(3)
    await world.restart(BEHIND)
  }
  await world.until(() => {
    const peer = world.store(BEHIND).peer(1)!
    const leader = world.leader()
    const same = peer.appliedIndex === leader?.raft.commitIndex && peer.install === undefined
    return same && leader.source.kind === 'idle'
  }, 30_000)
  await world.until(() => world.stores.every(({ fs }) => fs.list(SNAP_DIR).length === 0))
  const bytes = { limit: 1e9, bytesMax: 1e9, reverse: false, keysOnly: false }
  const range = { start: Buffer.from('z'), end: Buffer.from('{'), ...bytes }
  const [first, , third] = world.stores.map(({ engine }) => engine.scanSync(0, range).rows)
  expect(third!.map(String)).toEqual(first!.map(String))
}

describe('a replica that is behind the logs', () => {
  it.each([0, 1])(
    '%i writers: gets a snapshot, and what it held before is gone',
    async (writers) => {
      const world = await worldWithOneBehind(writers)
      await world.restart(BEHIND)
      await mustHeal(world)
      expect(world.store(BEHIND).life!.snapshots!.stats().snapshots_installed).toBe(1)
    },
  )

  it('of which a file is damaged asks for another one, and keeps neither', async () => {
    const world = await worldWithOneBehind()
    const store = world.store(BEHIND)
    store.snapIoMs = 5
    await world.restart(BEHIND)
    await world.until(() => store.fs.list(SNAP_DIR).some((name) => name.endsWith('.meta')))
    const path = `${SNAP_DIR}/${store.fs.list(SNAP_DIR).find((name) => name.endsWith('.rows'))}`
    const bytes = store.fs.bytes(path)
    bytes[bytes.length - 1]! ^= 1
    store.fs.plant(path, bytes)
    await world.until(() => store.peer(1)!.install?.kind === 'failed')
    await mustHeal(world)
    expect(store.life!.snapshots!.stats()).toMatchObject({
      snapshots_received: 2,
      snapshots_installed: 1,
    })
  })
})

describe('a replica that installs', () => {
  /** Its leader's snapshot has arrived, and waits for what apply has to do. */
  async function worldWithOneHeld(): Promise<{ world: World; store: SimStore; peer: Peer }> {
    const world = await World.open({ config: CONFIG })
    await world.awaitLeader()
    await fill(world, 'old', 10)
    const store = world.store(BEHIND)
    store.applyMs = 4_000
    await fill(world, 'old', 10)
    await world.run(300)
    const peer = store.peer(1)!
    expect(peer.appliedIndex).toBeLessThan(peer.handedOverIndex)
    world.network.isolate(BEHIND)
    await world.until(() => world.leader()?.self.storeId !== BEHIND)
    await fill(world, 'new', 60)
    const last = world.leader()!.raft.lastIndex
    await world.until(() => world.leader()!.raft.firstIndex > last - 40)
    world.network.heal()
    await world.until(() => peer.heldSnapshot !== undefined || peer.install !== undefined)
    expect(peer.install).toBeUndefined()
    return { world, store, peer }
  }

  it('first finishes what it had to apply', async () => {
    const { world, store, peer } = await worldWithOneHeld()
    await world.until(() => peer.install !== undefined)
    store.applyMs = 0.1
    await mustHeal(world)
  })

  it('refuses the one of a leader that was followed by another, and keeps no file of it', async () => {
    const { world, store, peer } = await worldWithOneHeld()
    const { term } = peer.heldSnapshot!.message
    const { storeId } = world.leader()!.self
    world.store(storeId).life!.router.sendControlForced({ kind: 'transfer-away' })
    await world.until(() => peer.raft.term > term)
    const held = peer.heldSnapshot
    expect(held?.message.term).toBe(term)
    store.applyMs = 0.1
    await world.until(() => peer.heldSnapshot !== held)
    expect(peer.install).toBeUndefined()
    await mustHeal(world)
  })

  it('is not told by apply of what was before', async () => {
    const world = await World.open({ config: CONFIG })
    await world.awaitLeader()
    const store = world.store(BEHIND)
    const peer = store.peer(1)!
    store.applyMs = 1_500
    await fill(world, 'old', 60)
    // The log was given up, and waits for the barrier.
    await world.until(() => truncatedIndexOf(store) >= peer.raft.firstIndex)
    await world.until(() => peer.appliedIndex === peer.handedOverIndex)
    world.network.isolate(BEHIND)
    await world.until(() => world.leader()?.self.storeId !== BEHIND)
    store.applyMs = 8_000
    await fill(world, 'new', 60)
    await world.until(() => world.leader()!.raft.firstIndex > peer.raft.lastIndex + 2)
    world.network.heal()
    const before = peer.appliedIndex
    await world.until(() => peer.appliedIndex > before && peer.install === undefined)
    expect(truncatedIndexOf(store)).toBe(peer.appliedIndex)
    await world.run(3_000)
    store.applyMs = 0.1
    await mustHeal(world)
  })

  it('is not whole before its log is on disk', async () => {
    const world = await worldWithOneBehind()
    const store = world.store(BEHIND)
    await world.restart(BEHIND)
    const peer = store.peer(1)!
    await world.until(() => peer.install?.kind === 'ingesting')
    store.diskHeld = true
    await world.until(() => peer.install?.ingested !== false)
    await world.run(500)
    world.stop(BEHIND, 'power-loss')
    await mustHeal(world)
    expect(store.life!.snapshots!.stats().snapshots_installed).toBe(1)
  })

  it('reads nothing before it is whole, also after a restart', async () => {
    const world = await worldWithOneBehind()
    // At rest: nothing is committed behind the snapshot.
    await world.run(3_000)
    const store = world.store(BEHIND)
    store.snapIoMs = 50
    await world.restart(BEHIND)
    await world.until(() => store.peer(1)!.install?.kind === 'ingesting')
    world.stop(BEHIND, 'power-loss')
    await world.restart(BEHIND)
    const peer = store.peer(1)!
    // What it wrote down as applied is not there yet.
    expect(peer.install?.kind).toBe('ingesting')
    await world.until(() => peer.raft.leaderId !== 0)
    expect(world.leader()!.raft.commitIndex).toBe(peer.appliedIndex)
    const call = world.get(BEHIND, 'new59', { replicaRead: true })
    let stateThen: string | undefined = 'not answered'
    world.onAnswer = () => {
      stateThen = peer.install?.kind
    }
    expect((await world.answered(call)).value).toMatch(/^59\./)
    expect(stateThen).toBeUndefined()
    await mustHeal(world)
  })
})

describe('the power goes at any operation of the disk', () => {
  it.each([0, 1])(
    '%i writers: while a snapshot is received and installed',
    async (writers) => {
      let crashes = 0
      for (let after = 0; ; after++) {
        const world = await worldWithOneBehind(writers)
        const store = world.store(BEHIND)
        store.prepareFaults().stopAfter = after
        const began = await world.restart(BEHIND)
        const whole = (): boolean => {
          const { snapshots_installed = 0 } = store.life?.snapshots?.stats() ?? {}
          return snapshots_installed > 0
        }
        const ended = (): boolean => store.life?.failed !== undefined || whole()
        if (began) await world.until(ended, 30_000)
        const failed = !began || store.life?.failed !== undefined
        if (began && failed)
          world.stop(BEHIND, 'power-loss', after % 2 === 0 ? world.random : undefined)
        if (failed) crashes++
        else store.faults.stopAfter = Number.POSITIVE_INFINITY
        await mustHeal(world)
        if (!failed) break
      }
      // Files, their directory, the record, the log, the data, its end.
      expect(crashes).toBeGreaterThan(20)
    },
    MANY_WORLDS_MS_MAX,
  )
})
