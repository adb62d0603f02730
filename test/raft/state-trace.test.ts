/** The state trace: what a small group tells, event by event. */
import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../src/base/clock.ts'
import { RawNode } from '../../src/raft/raw-node.ts'
import { ConfChangeTransition } from '../../src/raft/types.ts'
import { Group, START_INDEX, startSnapshot, testConfig } from './group.ts'
import { parseChanges } from './script/changes.ts'
import { confStateOf, MemoryStorage } from './script/storage.ts'

interface TraceMessage {
  readonly type: string
  readonly from: string
  readonly to: string
  readonly index: number
  readonly entries: number
}

interface TraceEvent {
  readonly name: string
  readonly nid: string
  readonly state: { term: number; vote: string; commit: number }
  readonly role: string
  readonly log: number
  readonly conf: readonly [string[], string[]]
  readonly msg?: TraceMessage
  readonly prop?: Record<string, unknown>
}

function eventsOf({ trace }: Group): TraceEvent[] {
  return trace.map((line) => {
    const { tag, event } = JSON.parse(line)
    expect(tag).toBe('trace')
    return event
  })
}

/** `Name from>to entries@index`, for the events of one node. */
function story(events: readonly TraceEvent[], nid: string): string[] {
  return events
    .filter((event) => event.nid === nid)
    .map(({ name, msg }) =>
      msg === undefined ? name : `${name} ${msg.from}>${msg.to} ${msg.entries}@${msg.index}`,
    )
}

function busyGroup(): Group {
  const group = new Group(3)
  const { node } = group.elect(1)
  for (const data of ['a', 'b', 'c']) node.propose(Buffer.from(data))
  group.settle()
  const changes = parseChanges('l3')
  const transition = ConfChangeTransition.Auto
  node.proposeConfChange({ transition, changes, context: Buffer.alloc(0) })
  group.settle()
  group.cut.add(3)
  node.propose(Buffer.from('d'))
  group.settle()
  group.at(1).storage.compact(node.appliedIndex)
  node.reportUnreachable(3)
  group.cut.clear()
  group.tickAll(4)
  group.elect(2)
  return group
}

describe('the state trace', () => {
  test('tells an election as it happened', () => {
    const group = new Group(3)
    group.elect(1)
    const events = eventsOf(group)
    expect(story(events, '1').slice(0, 16)).toEqual([
      'InitState',
      'BecomeFollower',
      'BecomeCandidate',
      'SendRequestVoteResponse 1>1 0@0',
      'SendRequestVoteRequest 1>2 0@10',
      'SendRequestVoteRequest 1>3 0@10',
      'Ready',
      'ReceiveRequestVoteResponse 1>1 0@0',
      'ReceiveRequestVoteResponse 2>1 0@0',
      'BecomeLeader',
      'Replicate',
      'SendAppendEntriesResponse 1>1 0@11',
      'SendAppendEntriesRequest 1>2 1@10',
      'SendAppendEntriesRequest 1>3 1@10',
      'ReceiveRequestVoteResponse 3>1 0@0',
      'Ready',
    ])
    expect(story(events, '2').slice(0, 6)).toEqual([
      'InitState',
      'BecomeFollower',
      'ReceiveRequestVoteRequest 1>2 0@10',
      'BecomeFollower',
      'SendRequestVoteResponse 2>1 0@0',
      'Ready',
    ])
  })

  test('gives each event all its fields', () => {
    const group = new Group(3)
    group.elect(1)
    const events = eventsOf(group)
    expect(events.find(({ name }) => name === 'BecomeLeader')).toEqual({
      name: 'BecomeLeader',
      nid: '1',
      state: { term: 2, vote: '1', commit: START_INDEX },
      role: 'StateLeader',
      log: START_INDEX,
      conf: [['1', '2', '3'], []],
    })
    expect(events.find(({ name }) => name === 'SendAppendEntriesRequest')).toMatchObject({
      log: START_INDEX + 1,
      msg: {
        type: 'MsgApp',
        term: 2,
        from: '1',
        to: '2',
        entries: 1,
        logTerm: 1,
        index: START_INDEX,
        commit: START_INDEX,
        vote: '0',
        reject: false,
        rejectHint: 0,
      },
      prop: { match: START_INDEX, next: START_INDEX + 1 },
    })
  })

  test('tells a membership change when it is proposed, and where it is applied', () => {
    const events = eventsOf(busyGroup())
    const proposed = events.filter(({ name }) => name === 'ChangeConf')
    expect(proposed.map(({ nid, prop }) => [nid, prop])).toEqual([
      ['1', { cc: { changes: [{ nid: '3', action: 'AddLearner' }] } }],
    ])
    const applied = events.filter(({ name }) => name === 'ApplyConfChange')
    expect(new Set(applied.map(({ nid }) => nid))).toEqual(new Set(['1', '2', '3']))
    for (const { prop } of applied) expect(prop).toEqual({ cc: { newconf: ['1', '2'] } })
    expect(applied[0]!.conf).toEqual([['1', '2', '3'], []])
  })

  test('is one that a network could have carried: nothing is received that was not sent', () => {
    const sent = new Set<string>()
    let received = 0
    for (const { name, msg } of eventsOf(busyGroup())) {
      const key = JSON.stringify(msg)
      if (name.startsWith('Send')) sent.add(key)
      if (!name.startsWith('Receive')) continue
      // Several own acknowledgements at once are received as the last of them.
      expect(sent.has(key), `${name} ${key}`).toBe(true)
      received++
    }
    expect(received).toBeGreaterThan(50)
  })

  test('shows terms and commit indexes that only rise, and a commit only when it rose', () => {
    const last = new Map<string, TraceEvent>()
    const names = new Set<string>()
    for (const event of eventsOf(busyGroup())) {
      const before = last.get(event.nid)
      names.add(event.name)
      if (before !== undefined) {
        expect(event.state.term).toBeGreaterThanOrEqual(before.state.term)
        expect(event.state.commit).toBeGreaterThanOrEqual(before.state.commit)
        if (event.name === 'Commit') {
          expect(event.state.commit).toBeGreaterThan(before.state.commit)
        }
      }
      last.set(event.nid, event)
    }
    for (const name of ['Commit', 'Replicate', 'ReceiveAppendEntriesResponse']) {
      expect(names).toContain(name)
    }
  })

  test('names a snapshot by its index', () => {
    const events = eventsOf(busyGroup())
    const snapshots = events.filter(({ msg }) => msg?.type === 'MsgSnap')
    expect(snapshots.length).toBeGreaterThan(0)
    for (const { name, msg } of snapshots) {
      expect(name).toMatch(/^(Send|Receive)AppendEntriesRequest$/)
      expect(msg!.entries).toBeGreaterThan(START_INDEX)
      expect(msg!.index).toBe(0)
    }
  })

  test('changes nothing of what the node does', () => {
    const readies = [true, false].map((isTraced) => {
      const storage = new MemoryStorage(startSnapshot(confStateOf([1])))
      const writer = isTraced ? { write: () => {} } : undefined
      const node = new RawNode(testConfig(1), storage, seededRandom(1), undefined, writer)
      node.campaign()
      return node.ready()
    })
    expect(readies[0]).toEqual(readies[1])
  })
})
