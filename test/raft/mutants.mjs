/**
 * Takes the fix of each known bug out, in a copy of the tree, and runs the tests: each must fail.
 *
 *   node test/raft/mutants.mjs [number …]
 *
 * A fix is named by the line that it stands in; a mutant that does not apply any more fails too.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const ROOT = resolve(import.meta.dirname, '../..')

/** bug, file in src/raft, what stands there, what takes its place */
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
  [10, 'membership.ts', '    shareCommit(raft)\n', ''],
  [11, 'replication.ts', 'if (own === undefined || !own.', 'if (!own!.'],
  [12, 'replication.ts', '!isNews && !endsState(progress, index)', '!isNews'],
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
]

const wanted = process.argv.slice(2).map(Number)
const copy = mkdtempSync(join(tmpdir(), 'polyraft-raft-mutants-'))
let survivors = 0
try {
  for (const folder of ['src', 'test/raft', 'vitest.config.ts', 'package.json']) {
    cpSync(join(ROOT, folder), join(copy, folder), { recursive: true })
  }
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'))
  for (const mutant of MUTANTS) {
    if (wanted.length === 0 || wanted.includes(mutant[0])) run(mutant)
  }
} finally {
  rmSync(copy, { recursive: true, force: true })
}
process.exitCode = survivors === 0 ? 0 : 1

function run([bug, file, from, to]) {
  const path = join(copy, 'src/raft', file)
  const original = readFileSync(path, 'utf8')
  const parts = original.split(from)
  if (parts.length !== 2) {
    survivors++
    console.log(`bug ${bug}: ${parts.length - 1} places in ${file} fit the mutant`)
    return
  }
  writeFileSync(path, parts.join(to))
  const failed = failingTests('test/raft/known-bugs.test.ts')
  writeFileSync(path, original)
  const own = failed.filter((name) => name.includes(`bug ${bug}:`))
  if (own.length === 0) survivors++
  const others = failed.length - own.length
  console.log(`bug ${bug}: ${own.length === 1 ? 'its test fails' : 'SURVIVES'}, ${others} others`)
}

function failingTests(file) {
  const vitest = join(copy, 'node_modules/vitest/vitest.mjs')
  const { stdout } = spawnSync(process.execPath, [vitest, 'run', '--reporter=json', file], {
    cwd: copy,
    encoding: 'utf8',
  })
  const { testResults } = JSON.parse(stdout.slice(stdout.indexOf('{')))
  const tests = testResults.flatMap((result) => result.assertionResults)
  if (tests.length === 0) throw new Error('no test was run')
  return tests.filter(({ status }) => status === 'failed').map(({ fullName }) => fullName)
}
