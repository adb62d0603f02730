/**
 * Plants a fault in the code of apply, snapshots, log compaction, rest and leases, in a copy of the
 * tree, and runs the stories of the simulated world, told ones and random ones: something must fail.
 *
 *   node test/sim/mutants.mjs [--check | number …]     SIM_SEEDS: how many stories each gets at most
 *
 * A fault is named by the text that it replaces; --check only looks whether each still stands.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { plantFaults } from '../planted.mjs'

const SEEDS = process.env.SIM_SEEDS ?? '100'
const TOLD = ['snapshots', 'hibernate', 'leadership', 'reads']
const STORIES = TOLD.map((name) => `test/sim/${name}.test.ts`)

/** what is wrong then; file in src; what stands there; what takes its place */
const MUTANTS = [
  [
    'logs go before the engine is synced',
    'apply/apply-runner.ts',
    '    this.#options.engine.sync()\n    const results',
    '    const results',
  ],
  [
    'received files are not compared with their checksums',
    'snap/received.ts',
    'if (this.#crc !== crc) throw',
    'if (this.#crc < 0) throw',
  ],
  [
    'blocks are ingested without a look at their checksums',
    'snap/installer.ts',
    'if (crc32c(payload) !== header.readUInt32LE(4)) throw',
    'if (crc32c(payload) < 0) throw',
  ],
  [
    'Applying is not durable before the log begins anew',
    'snap/installer.ts',
    'encodeSnapshotState(state))\n    this.#engine.write(batch, { sync: true })',
    'encodeSnapshotState(state))\n    this.#engine.write(batch, { sync: false })',
  ],
  ['old data is not cleared', 'store/snap-tasks.ts', '      work.clear()\n', ''],
  [
    'an installation does not wait for apply',
    'peer/snapshot-install.ts',
    'if (peer.appliedIndex < peer.handedOverIndex || peer',
    'if (peer',
  ],
  [
    'reads go on while the region installs',
    'peer/on-read.ts',
    'if (peer.install !== undefined) return\n  for',
    'for',
  ],
  [
    'entries are applied while the region installs',
    'peer/peer-storage.ts',
    'if (to === 0 && this.#installing) return',
    'if (to === 0 && this.#installing && low < 0) return',
  ],
  [
    'a region is whole before its log is durable',
    'peer/snapshot-install.ts',
    '!install.ingested || !install.logDurable',
    '!install.ingested',
  ],
  [
    'a start in the middle of an installation leaves the old log',
    'store/store-regions.ts',
    '!== state.indexTerm)',
    '< 0)',
  ],
  [
    'a snapshot lacks what its index says',
    'apply/apply-runner.ts',
    'id: number): void {\n    this.#commit()\n    this.#options.onPinned',
    'id: number): void {\n    this.#options.onPinned',
  ],
  [
    'what apply told of before the snapshot still counts',
    'peer/on-applied.ts',
    'if (peer.install !== undefined || appliedIndex < peer.snapshotIndex) return',
    '',
  ],
  [
    'files of a refused snapshot stay',
    'peer/snapshot-install.ts',
    'if (peer.install === before) peer.ports',
    'if (peer.install === before && peer.id < 0) peer.ports',
  ],
  [
    'files of a damaged snapshot stay',
    'peer/snapshot-install.ts',
    '      peer.ports.snapshots.discard(install.data)\n',
    '',
  ],
  [
    'files of a snapshot stay when leadership ends',
    'peer/snapshot-source.ts',
    'this.#state = IDLE\n      this.#release(state.snapshot.data)',
    'this.#state = IDLE',
  ],
  [
    'a replica that lacks entries agrees to sleep',
    'peer/hibernate.ts',
    'if (!follows || raft.lastIndex !== message.index || !isQuiet(peer)) return',
    'if (!follows) return',
  ],
  [
    'a leader sleeps before all agreed',
    'peer/hibernate.ts',
    'if (others(peer).every(({ id }) => agreed.includes(id))) sleep(peer)',
    'if (agreed.length * 2 >= others(peer).length) sleep(peer)',
  ],
  [
    'silence of a store wakes nobody',
    'peer/hibernate.ts',
    'return misses(peer, signal.storeId)',
    'return false',
  ],
  [
    'a leader falls asleep though a store fell silent that had agreed',
    'peer/peer-handler.ts',
    '        peer.hibernation.agreed = undefined\n        return\n',
    '        return\n',
  ],
  [
    'a request does not wake its region',
    'peer/peer-handler.ts',
    'if (peer.hibernation.isStill && peer.raft.hasReady()) stir(peer)',
    '',
  ],
  [
    'whoever is to give leaderships away wakes, though he has none',
    'peer/hibernate.ts',
    'case PeerTag.PdOrder:\n      return peer.isLeader',
    'case PeerTag.PdOrder:\n      return true',
  ],
  ['a late result of apply wakes', 'peer/hibernate.ts', '    case PeerTag.Applied:\n', ''],
  [
    'a leader is not asked for a sign of life',
    'peer/hibernate.ts',
    '  peer.ports.transport.send(peer.envelopeTo(peer.leader, message))\n',
    '',
  ],
  [
    'heartbeats leave behind the ask',
    'peer/hibernate.ts',
    '  handleReadies(peer)\n  return isQuiet',
    '  return isQuiet',
  ],
  [
    'an apply state counts an entry that is not in the data',
    'apply/apply-fsm.ts',
    'encodeApplyState({\n      appliedIndex: this.appliedIndex,',
    'encodeApplyState({\n      appliedIndex: this.appliedIndex + 1,',
  ],
  [
    'an apply state stays behind without limit',
    'apply/apply-fsm.ts',
    'return tooFar || this.#stateIsDue',
    'return this.#stateIsDue',
  ],
  [
    "a log's beginning is left behind with the apply state",
    'apply/apply-fsm.ts',
    '    this.#truncatedTerm = term\n    this.#stateIsDue = true\n',
    '    this.#truncatedTerm = term\n',
  ],
  [
    'a membership is told of before it is durable',
    'apply/admin/change-peer.ts',
    '  stager.mustSync = true\n',
    '',
  ],
  [
    'an order to campaign leaves while the lease lasts',
    'peer/on-ready.ts',
    '    if (message.type === MessageType.TimeoutNow) peer.lease.suspect()\n',
    '',
  ],
  [
    'a lease begins with the commit',
    'peer/on-ready.ts',
    'renewedMs = proposal.proposedMs',
    'renewedMs = peer.ports.clock.monotonicMs()',
  ],
]

const faults = MUTANTS.map(([title, file, from, to], i) => ({
  name: String(i + 1),
  title: `${i + 1} ${title}`,
  path: `src/${file}`,
  from,
  to,
}))

plantFaults(faults, failureOfStories)

/** Which seed failed, and what it says. */
function failureOfStories(copy) {
  const vitest = join(copy, 'node_modules/vitest/vitest.mjs')
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    [vitest, 'run', '--bail=1', ...STORIES, 'test/sim/campaign.test.ts'],
    { cwd: copy, encoding: 'utf8', env: { ...process.env, NO_COLOR: '1', SIM_SEEDS: SEEDS } },
  )
  if (status === 0) return undefined
  const text = stdout + stderr
  const seed = /seed (\d+) fails/.exec(text)?.[1]
  const story = new RegExp(`FAIL {2}test/sim/(?:${TOLD.join('|')}).test.ts > (.*)`).exec(text)?.[1]
  if (seed === undefined && story === undefined) throw new Error(`no story was run:\n${text}`)
  const cause = /(?:Caused by: |AssertionError: )(.*)/.exec(text)?.[1] ?? 'nobody awaits its error'
  return `${seed === undefined ? `"${story}"` : `seed ${seed}`}: ${cause}`
}
