/** Faults that others shipped, as far as they touch snapshots; numbers as in test/README.md. */
import { beforeEach, describe, expect, it } from 'vitest'
import { type MemoryEngine, openMemoryEngine } from '../../src/engine/memory-engine.ts'
import { ColumnFamily } from '../../src/engine/port.ts'
import { MemoryFileSystem } from '../../src/env/memory-fs.ts'
import { applyStateKey, regionStateKey, snapshotStateKey } from '../../src/region/keys.ts'
import {
  decodeApplyState,
  decodeRegionState,
  decodeSnapshotState,
  encodeApplyState,
  encodeRegionState,
  RegionStateKind,
} from '../../src/region/state.ts'
import { readMeta } from '../../src/snap/files.ts'
import type { SnapshotMeta } from '../../src/snap/format.ts'
import { SnapshotInstaller } from '../../src/snap/installer.ts'
import { build, carry, DIR, dump, fill, region } from './support.ts'

const OLD_INDEX = 20
let source: MemoryEngine
let target: MemoryEngine
let to: MemoryFileSystem
let meta: SnapshotMeta

beforeEach(async () => {
  source = openMemoryEngine()
  fill(source, 4000)
  const from = new MemoryFileSystem()
  from.makeDirectory(DIR)
  meta = await build(source, from)
  to = new MemoryFileSystem()
  to.makeDirectory(DIR)
  carry(from, meta, { fs: to }).finish()
  target = openMemoryEngine()
  fill(target, 300, 5, 'k-old')
  const batch = target.newBatch()
  const normal = { kind: RegionStateKind.Normal, region: region() }
  batch.put(ColumnFamily.Raft, regionStateKey(7), encodeRegionState(normal))
  const applied = { appliedIndex: OLD_INDEX, appliedTerm: 5, truncatedIndex: 5, truncatedTerm: 5 }
  batch.put(ColumnFamily.Raft, applyStateKey(7), encodeApplyState(applied))
  target.write(batch, { sync: true })
})

const stateOf = (engine: MemoryEngine): RegionStateKind =>
  decodeRegionState(engine.get(ColumnFamily.Raft, regionStateKey(7))!).kind
const appliedOf = (engine: MemoryEngine): number =>
  decodeApplyState(engine.get(ColumnFamily.Raft, applyStateKey(7))!).appliedIndex

/** The steps of an installation; a crash may come between any two of them. */
function* steps(engine: MemoryEngine): Generator<string> {
  const installer = new SnapshotInstaller(engine, to, DIR, readMeta(to, DIR, 'rev_7_6_50')!)
  yield 'nothing'
  installer.record({ term: 7, vote: 0, index: 50, indexTerm: 6 })
  yield 'recorded'
  installer.clear()
  yield 'cleared'
  while (!installer.step()) yield 'a block'
  yield 'all blocks'
  installer.finish()
  yield 'finished'
}

describe('bug 29: what a snapshot replaces, and the snapshot, change places in one step', () => {
  it.each([
    ['power is lost', true],
    ['the process ends', false],
  ])(
    'when %s, at each step, the region is wholly old, being replaced, or wholly new',
    (_, power) => {
      const old = dump(target)
      const found = new Set<string>()
      for (let stop = 0; ; stop++) {
        let engine = target.reopen()
        // The same disk for every attempt: what an attempt leaves is where the next one begins.
        const work = steps(engine)
        let last = work.next()
        for (let i = 0; i < stop && !last.done; i++) last = work.next()
        const isOver = last.done === true || last.value === 'finished'
        if (power) engine.crash()
        engine = engine.reopen()
        const kind = stateOf(engine)
        if (kind === RegionStateKind.Normal && appliedOf(engine) === OLD_INDEX) {
          found.add('old')
          expect(dump(engine)).toEqual(old)
        } else if (kind === RegionStateKind.Applying) {
          found.add('replaced')
          // A start has all that it needs to go on.
          expect(appliedOf(engine)).toBe(50)
          const state = engine.get(ColumnFamily.Raft, snapshotStateKey(7))!
          expect(decodeSnapshotState(state)).toMatchObject({ index: 50, indexTerm: 6 })
        } else {
          found.add('new')
          expect(dump(engine)).toEqual(dump(source))
          expect(engine.get(ColumnFamily.Raft, snapshotStateKey(7))).toBeUndefined()
        }
        target = engine
        if (isOver) break
      }
      expect([...found]).toEqual(['old', 'replaced', 'new'])
    },
  )
})
