/** Quorum arithmetic against public scripts. */
import { afterAll, describe, expect, test } from 'vitest'
import { jointIndex, jointVote } from '../../../src/raft/quorum/joint.ts'
import { majorityIndex, majorityVote, VoteResult } from '../../../src/raft/quorum/majority.ts'
import { publicData } from '../script/data.ts'
import { parseScript, type ScriptStep } from '../script/parser.ts'

const STEPS_IN_ALL = 127
const files = publicData.files('quorum')
let passed = 0
let total = 0

const VOTE_NAMES: Readonly<Record<VoteResult, string>> = {
  [VoteResult.Pending]: 'VotePending',
  [VoteResult.Lost]: 'VoteLost',
  [VoteResult.Won]: 'VoteWon',
}

interface Config {
  readonly incoming: readonly number[]
  /** Undefined: a plain majority. */
  readonly outgoing: readonly number[] | undefined
}

function values(step: ScriptStep, key: string): readonly string[] | undefined {
  return step.args.find((arg) => arg.key === key)?.values
}

function configOf(step: ScriptStep): Config {
  const joint = values(step, 'cfgj')
  return {
    incoming: (values(step, 'cfg') ?? []).map(Number),
    outgoing: joint === undefined ? undefined : joint[0] === 'zero' ? [] : joint.map(Number),
  }
}

/** Everyone in the order in which a script names them. */
function everyone({ incoming, outgoing }: Config): number[] {
  return [...new Set([...incoming, ...(outgoing ?? [])])]
}

function byId<T>(config: Config, words: readonly string[], parse: (word: string) => T) {
  const known = new Map<number, T>()
  everyone(config).forEach((id, position) => {
    const word = words[position]
    if (word !== undefined && word !== '_') known.set(id, parse(word))
  })
  return known
}

function committedOf(ids: readonly number[], acked: ReadonlyMap<number, number>): number {
  return majorityIndex(
    ids.map((id) => acked.get(id) ?? 0),
    ids.length,
  )
}

function committed(step: ScriptStep): string {
  const config = configOf(step)
  const acked = byId(config, values(step, 'idx') ?? [], Number)
  const { incoming, outgoing = [] } = config
  const index = jointIndex(committedOf(incoming, acked), committedOf(outgoing, acked))
  const swapped = jointIndex(committedOf(outgoing, acked), committedOf(incoming, acked))
  expect(swapped, 'symmetric').toBe(index)
  const own = committedOf(incoming, acked)
  expect(jointIndex(own, own), 'joint with itself').toBe(own)
  expect(index, 'by counting').toBe(countedIndex(config, acked))
  return `${chart(config, acked)}${index === Number.POSITIVE_INFINITY ? '∞' : index}\n`
}

/** The definition: the largest acknowledged index that both majorities reach. */
function countedIndex(config: Config, acked: ReadonlyMap<number, number>): number {
  const reaches = (ids: readonly number[], index: number) =>
    ids.length === 0 || ids.filter((id) => (acked.get(id) ?? 0) >= index).length * 2 > ids.length
  const candidates = [0, ...acked.values(), Number.POSITIVE_INFINITY]
  const { incoming, outgoing = [] } = config
  return Math.max(...candidates.filter((i) => reaches(incoming, i) && reaches(outgoing, i)))
}

/** One bar a voter, as long as the number of voters with a lower index. */
function chart(config: Config, acked: ReadonlyMap<number, number>): string {
  const all = everyone(config).sort((a, b) => a - b)
  if (all.length === 0) return '<empty majority quorum>'
  const indexOf = (id: number): number => acked.get(id) ?? -1
  const width = all.length
  let text = `${' '.repeat(width)}    idx\n`
  for (const id of all) {
    const rank = all.filter((other) => indexOf(other) < indexOf(id)).length
    const bar = acked.has(id)
      ? `${'x'.repeat(rank)}>${' '.repeat(width - rank)}`
      : `?${' '.repeat(width)}`
    text += `${bar} ${String(acked.get(id) ?? 0).padStart(5)}    (id=${id})\n`
  }
  return text
}

function voteOf(ids: readonly number[], votes: ReadonlyMap<number, boolean>): VoteResult {
  const granted = ids.filter((id) => votes.get(id) === true).length
  const rejected = ids.filter((id) => votes.get(id) === false).length
  return majorityVote(ids.length, granted, rejected)
}

function vote(step: ScriptStep): string {
  const config = configOf(step)
  const votes = byId(config, values(step, 'votes') ?? [], (word) => word === 'y')
  const { incoming, outgoing = [] } = config
  const result = jointVote(voteOf(incoming, votes), voteOf(outgoing, votes))
  const swapped = jointVote(voteOf(outgoing, votes), voteOf(incoming, votes))
  expect(swapped, 'symmetric').toBe(result)
  const own = voteOf(incoming, votes)
  expect(jointVote(own, own), 'joint with itself').toBe(own)
  return `${VOTE_NAMES[result]}\n`
}

describe.skipIf(!publicData.isPresent)('quorum scripts', () => {
  test.each(files)('%s', (name) => {
    const steps = parseScript(name, publicData.read('quorum', name))
    total += steps.length
    for (const step of steps) {
      const actual = step.command === 'vote' ? vote(step) : committed(step)
      expect(actual, `${name}:${step.line}`).toBe(step.expected)
      passed++
    }
  })

  test('all steps were run', () => {
    expect(`${passed}/${total}`).toBe(`${STEPS_IN_ALL}/${STEPS_IN_ALL}`)
  })

  afterAll(() => {
    console.log(`quorum: ${passed}/${total} steps in ${files.length} files`)
  })
})
