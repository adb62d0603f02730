/** What a start makes of a raft log whose region was being replaced by a snapshot when the store stopped. */
import { expect, it } from 'vitest'
import { silentLogger } from '../../src/base/logger.ts'
import { openMemoryEngine } from '../../src/engine/memory-engine.ts'
import { MemoryFileSystem } from '../../src/env/memory-fs.ts'
import { openRaftLog } from '../../src/raftlog/open.ts'
import { SnapshotInstaller } from '../../src/snap/installer.ts'
import { StoreRegions } from '../../src/store/store-regions.ts'
import { build, DIR, region } from '../snap/support.ts'

const ME = 70
const A = 71
const REGION_ID = region().id

/** The log says `own`, the engine has recorded a snapshot at index 50 under `recorded`; both [term, vote]. */
async function hardStateAfter(
  own: readonly [number, number],
  recorded: readonly [number, number],
): Promise<unknown> {
  const fs = new MemoryFileSystem()
  const engine = openMemoryEngine()
  let regions: StoreRegions | undefined
  const log = await openRaftLog({
    dir: '/raft',
    fs,
    writers: 0,
    segmentBytes: 4096,
    cacheBytes: 0,
    logger: silentLogger,
    events: {
      onPersisted: (id, readyNumber) => void regions?.onPersisted(id, readyNumber),
      onFailed: (error) => {
        throw error
      },
    },
  })
  regions = new StoreRegions({ engine, log, fs, snapshotDir: DIR })
  const hardState = { term: own[0], vote: own[1], commit: 5 }
  log.create(REGION_ID, 5, 5, hardState)
  log.write({ regionId: REGION_ID, readyNumber: 1, entries: [], hardState })
  log.flush()
  const meta = await build(engine, fs)
  const { index, term } = meta
  new SnapshotInstaller(engine, fs, DIR, meta).record({
    term: recorded[0],
    vote: recorded[1],
    index,
    indexTerm: term,
  })
  expect(await regions.resumeInstalls()).toMatchObject([{ index, term }])
  const state = log.state(REGION_ID)!
  expect(state).toMatchObject({ firstIndex: index + 1, lastIndex: index })
  await log.close()
  return state.hardState
}

it.each([
  ['a vote of the recorded term', [7, A], [7, 0], { term: 7, vote: A }],
  ['a vote that was recorded', [6, 0], [7, ME], { term: 7, vote: ME }],
  ['both, where they are the same', [7, A], [7, A], { term: 7, vote: A }],
  ['a vote of a later term', [9, A], [7, ME], { term: 9, vote: A }],
  ['a later term without a vote', [9, 0], [7, ME], { term: 9, vote: 0 }],
] as const)('the new log keeps %s', async (_what, own, recorded, kept) => {
  expect(await hardStateAfter(own, recorded)).toEqual({ ...kept, commit: 50 })
})

it('the new log knows nothing of a vote in an earlier term', async () => {
  expect(await hardStateAfter([6, A], [7, 0])).toEqual({ term: 7, vote: 0, commit: 50 })
})
