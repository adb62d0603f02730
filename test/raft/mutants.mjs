/**
 * Takes the fix of each known bug out, in a copy of the tree, and runs the tests: each must fail.
 *
 *   node test/raft/mutants.mjs [--check | number …]
 *
 * A fix is named by the line that it stands in; --check only looks whether each still does.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { plantFaults } from '../planted.mjs'

/** bug, or the title of a test; file in src/raft; what stands there; what takes its place */
const MUTANTS = [
  [1, 'replication.ts', '|| index < raft.termStartIndex) return false', ') return false'],
  [2, 'raft.ts', 'this.pendingConfIndex = this.log.lastIndex', 'this.pendingConfIndex = 0'],
  [3, 'reads.ts', 'if (!raft.committedToCurrentTerm) {', 'if (raft.role !== StateRole.Leader) {'],
  [
    4,
    'step.ts',
    'if (type === MessageType.RequestPreVote) rejectVote(raft, message)\n  else if',
    'if',
  ],
  [
    5,
    'raft.ts',
    'this.role = StateRole.PreCandidate\n    this.leaderId = NO_ID',
    'this.role = StateRole.PreCandidate',
  ],
  [
    6,
    'election.ts',
    'response.term = raft.term\n  response.reject',
    'response.term = request.term\n  response.reject',
  ],
  [
    7,
    'leader.ts',
    'raft.log.applied < raft.pendingConfIndex) return',
    'raft.log.applied !== raft.pendingConfIndex) return',
  ],
  [
    8,
    'leader.ts',
    'if (type !== EntryType.Normal) raft',
    'if (type !== EntryType.Normal && data.length > 0) raft',
  ],
  [
    9,
    'election.ts',
    'maybeCommitByVote(raft, message)\n  if (raft.role === StateRole.Follower) return',
    'if (raft.role === StateRole.Follower) return',
  ],
  [10, 'membership.ts', '  shareCommit(raft)\n', ''],
  [
    11,
    'replication.ts',
    'if (own === undefined || index <= own.match)',
    'if (index <= own!.match)',
  ],
  [12, 'replication.ts', '!isNews && !endsState(raft, progress, index)', '!isNews'],
  [13, 'reads.ts', 'raft.timeoutNowSent || raft', 'raft'],
  [
    14,
    'leader.ts',
    'raft.config.checkQuorum && !maybeKeepOffice(raft)',
    'raft.config.checkQuorum && raft.tracker === undefined',
  ],
  [
    15,
    'read-index.ts',
    '    this.pending.push(',
    '    if (this.pending.some((read) => read.context === context)) return\n    this.pending.push(',
  ],
  [
    30,
    'election.ts',
    'requestVotes(raft, MessageType.RequestVote, raft.term, context)',
    'requestVotes(raft, MessageType.RequestVote, raft.term, context)\n  onPoll(raft, raft.id, true)',
  ],
  [
    'is left after a transfer that kept the leader from doing so has failed',
    'leader.ts',
    'raft.leadTransferee = NO_ID\n  maybeAutoLeave(raft)',
    'raft.leadTransferee = NO_ID',
  ],
  [
    'of this node itself are wanted no more once a snapshot contains them',
    'log.ts',
    'snapshot.\n    this.#fetchingCommitted = false',
    'snapshot.',
  ],
  [
    'a voter that owes the lease does not campaign out of turn',
    'raw-node.ts',
    'ReadOnlyOption.LeaseBased && raft.isVoteLocked',
    'ReadOnlyOption.LeaseBased && raft.ticks < 0',
  ],
  [
    'must be synced before it is acknowledged',
    'raw-node.ts',
    ' || unstable.snapshot !== undefined,',
    ',',
  ],
  [
    'append_aba_race.txt',
    'persist-records.ts',
    'if (record.lastIndex >= index) record.lastIndex = index - 1',
    'if (record.lastIndex < index) record.lastIndex = 0',
  ],
]

const faults = MUTANTS.map(([bug, file, from, to]) => ({
  name: String(bug),
  title: typeof bug === 'number' ? `bug ${bug}` : bug,
  // A colon: bug 1 is not bug 11.
  test: typeof bug === 'number' ? `bug ${bug}:` : bug,
  files: typeof bug === 'number' ? 'test/raft/known-bugs' : 'test/raft/',
  path: `src/raft/${file}`,
  from,
  to,
}))

plantFaults(faults, (copy, fault) => {
  const failed = failingTests(copy, fault?.files ?? 'test/raft/')
  if (fault === undefined) return failed.length > 0 ? failed.join(', ') : undefined
  const own = failed.filter((test) => test.includes(fault.test)).length
  return own > 0 ? `its test fails, ${failed.length - own} others` : undefined
})

function failingTests(copy, files) {
  const vitest = join(copy, 'node_modules/vitest/vitest.mjs')
  const { stdout } = spawnSync(
    process.execPath,
    [vitest, 'run', '--reporter=json', '--exclude', '**/random*', files],
    {
      cwd: copy,
      encoding: 'utf8',
    },
  )
  const { testResults } = JSON.parse(stdout.slice(stdout.indexOf('{')))
  const tests = testResults.flatMap((result) => result.assertionResults)
  if (tests.length === 0) throw new Error('no test was run')
  return tests.filter(({ status }) => status === 'failed').map(({ fullName }) => fullName)
}
