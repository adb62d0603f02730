/**
 * The world of a script: nodes, their storages, one queue of messages, and the commands. A node is
 * driven through the asynchronous interface, in the order persist, apply, send, report.
 */
import { seededRandom } from '../../../src/base/clock.ts'
import {
  decodeConfChange,
  encodeConfChangeV1,
  encodeConfChangeV2,
} from '../../../src/raft/conf-change-codec.ts'
import { defaultRaftConfig, type RaftConfig } from '../../../src/raft/config.ts'
import {
  describeEntry,
  describeMessage,
  describeProgress,
  describeRole,
  messageName,
} from '../../../src/raft/describe.ts'
import { newMessage } from '../../../src/raft/message.ts'
import { RawNode } from '../../../src/raft/raw-node.ts'
import type { Ready } from '../../../src/raft/ready.ts'
import {
  ConfChangeTransition,
  type ConfChangeV2,
  type ConfState,
  type Entry,
  EntryType,
  type Message,
  MessageType,
  ReadOnlyOption,
  StateRole,
} from '../../../src/raft/types.ts'
import { parseChanges } from './changes.ts'
import type { ScriptStep } from './parser.ts'
import { indent, printReady } from './printer.ts'
import { confStateOf, MemoryStorage } from './storage.ts'

const UNLIMITED = Number.MAX_SAFE_INTEGER
const ELECTION_TICK = 3

interface ScriptNode {
  readonly node: RawNode
  readonly storage: MemoryStorage
}

type Command = (step: ScriptStep) => string

export class ScriptEnvironment {
  readonly #nodes: ScriptNode[] = []
  #messages: Message[] = []
  /** Log level `none`: commands act but print nothing. */
  #silent = false
  readonly #commands: Readonly<Record<string, Command>> = {
    'add-nodes': (step) => this.#addNodes(step),
    campaign: (step) => this.#on(step, 0, ({ node }) => node.campaign()),
    compact: (step) => this.#compact(step),
    'deliver-msgs': (step) => this.#deliver(step),
    'forget-leader': (step) => this.#on(step, 0, ({ node }) => node.forgetLeader()),
    'log-level': (step) => {
      this.#silent = step.args[0]!.key === 'none'
      return ''
    },
    'process-ready': (step) => this.#processReadies(step),
    propose: (step) => this.#propose(step),
    'propose-conf-change': (step) => this.#proposeConfChange(step),
    'raft-log': (step) => this.#printLog(number(step, 0)),
    'raft-state': () => this.#printStates(),
    'report-unreachable': (step) =>
      this.#on(step, 0, ({ node }) => node.reportUnreachable(number(step, 1))),
    'send-snapshot': (step) => this.#sendSnapshot(step),
    'set-randomized-election-timeout': (step) =>
      this.#on(step, 0, ({ node }) => node.setElectionTimeout(Number(value(step, 'timeout')))),
    stabilize: (step) => this.#stabilize(step),
    status: (step) => this.#printStatus(number(step, 0)),
    'tick-election': (step) => this.#tick(step, ELECTION_TICK),
    'tick-heartbeat': (step) => this.#tick(step, 1),
    'transfer-leadership': (step) => this.#transfer(step),
  }

  run(step: ScriptStep): string {
    const command = this.#commands[step.command]
    if (command === undefined) throw new Error(`unknown command ${step.command}`)
    const silent = this.#silent || value(step, 'log-level') === 'none'
    const text = command(step)
    return silent ? '' : text
  }

  #at(id: number): ScriptNode {
    const found = this.#nodes[id - 1]
    if (found === undefined) throw new Error(`no node ${id}`)
    return found
  }

  #on(step: ScriptStep, position: number, run: (node: ScriptNode) => void): string {
    run(this.#at(number(step, position)))
    return ''
  }

  #addNodes(step: ScriptStep): string {
    const index = Number(value(step, 'index') ?? 0)
    const content = Buffer.from(value(step, 'content') ?? '')
    const confState = confStateOf(ids(step, 'voters'), ids(step, 'learners'))
    for (let left = number(step, 0); left > 0; left--) {
      const storage =
        index === 0
          ? new MemoryStorage()
          : new MemoryStorage({ metadata: { index, term: 1, confState }, data: content })
      const config = configOf(step, this.#nodes.length + 1, index)
      this.#nodes.push({ node: new RawNode(config, storage, seededRandom(1)), storage })
    }
    return ''
  }

  #tick(step: ScriptStep, ticks: number): string {
    return this.#on(step, 0, ({ node }) => {
      for (let i = 0; i < ticks; i++) node.tick()
    })
  }

  #propose(step: ScriptStep): string {
    const { node } = this.#at(number(step, 0))
    const result = node.propose(Buffer.from(step.args[1]!.key))
    return result === 'ok' ? '' : 'raft proposal dropped\n'
  }

  /** Steps a proposal message, as a forwarded one arrives: invalid changes become empty entries. */
  #proposeConfChange(step: ScriptStep): string {
    const { node } = this.#at(number(step, 0))
    const change: ConfChangeV2 = {
      transition: transitionOf(value(step, 'transition')),
      changes: parseChanges(step.input),
      context: Buffer.alloc(0),
    }
    const v1 = value(step, 'v1') === 'true'
    const message = newMessage(MessageType.Propose, node.id)
    message.from = node.id
    message.entries = [
      {
        index: 0,
        term: 0,
        type: v1 ? EntryType.ConfChange : EntryType.ConfChangeV2,
        data: v1 ? encodeConfChangeV1(change) : encodeConfChangeV2(change),
      },
    ]
    return node.step(message) === 'ok' ? '' : 'raft proposal dropped\n'
  }

  #transfer(step: ScriptStep): string {
    this.#at(Number(value(step, 'from'))).node.transferLeader(Number(value(step, 'to')))
    return ''
  }

  #sendSnapshot(step: ScriptStep): string {
    const { node, storage } = this.#at(number(step, 0))
    const message = newMessage(MessageType.Snapshot, number(step, 1))
    message.from = node.id
    message.term = node.term
    message.snapshot = storage.latest
    this.#messages.push(message)
    return `${describeMessage(message)}\n`
  }

  #compact(step: ScriptStep): string {
    this.#at(number(step, 0)).storage.compact(number(step, 1))
    return this.#printLog(number(step, 0))
  }

  #processReadies(step: ScriptStep): string {
    const targets = step.args.map(({ key }) => Number(key))
    if (targets.length === 1) return this.#processReady(targets[0]!)
    let text = ''
    for (const id of targets) text += `> ${id} handling Ready\n${indent(this.#processReady(id))}`
    return text
  }

  #processReady(id: number): string {
    const { node, storage } = this.#at(id)
    const roleBefore = node.role
    const ready = node.ready()
    persist(storage, ready)
    node.advanceAppendAsync(ready)
    apply(node, storage, ready.committedEntries)
    const { messages, persistedMessages } = ready
    this.#messages.push(...messages, ...persistedMessages)
    node.onPersistReady(ready.number)
    if (ready.snapshot !== undefined) node.advanceApplyTo(ready.snapshot.metadata.index)
    else applied(node, ready.committedEntries)
    const wasLeader = roleBefore === StateRole.Leader
    const isLeader = node.status().role === StateRole.Leader
    const freed = wasLeader || isLeader ? [] : takeFreed(node, storage)
    return printReady(ready, [...ready.committedEntries, ...freed])
  }

  #deliver(step: ScriptStep): string {
    const drops = ids(step, 'drop')
    const type = value(step, 'type')
    let text = ''
    const named = step.args.filter(({ values }) => values.length === 0)
    for (const { key } of named) text += this.#deliverTo(Number(key), false, type)
    for (const id of drops) text += this.#deliverTo(id, true, type)
    return text === '' ? 'no messages\n' : text
  }

  #deliverTo(id: number, drop: boolean, type: string | undefined): string {
    const matching = this.#messages.filter(
      (message) => message.to === id && (type === undefined || messageName(message.type) === type),
    )
    this.#messages = this.#messages.filter((message) => !matching.includes(message))
    let text = ''
    for (const message of matching) {
      text += `${drop ? 'dropped: ' : ''}${describeMessage(message)}\n`
      if (drop) continue
      const result = this.#at(id).node.step(message)
      if (result === 'peer-not-found') text += 'raft: cannot step as peer not found\n'
      else if (result !== 'ok') text += 'raft proposal dropped\n'
    }
    return text
  }

  #stabilize(step: ScriptStep): string {
    const named = step.args.filter(({ values }) => values.length === 0)
    const targets =
      named.length > 0 ? named.map(({ key }) => Number(key)) : this.#nodes.map((_, i) => i + 1)
    let text = ''
    for (let quiet = false; !quiet; ) {
      const before = text
      for (const id of targets) {
        if (!this.#at(id).node.hasReady()) continue
        text += `> ${id} handling Ready\n${indent(this.#processReady(id))}`
      }
      for (const id of targets) {
        if (!this.#messages.some((message) => message.to === id)) continue
        text += `> ${id} receiving messages\n${indent(this.#deliverTo(id, false, undefined))}`
      }
      quiet = text === before
    }
    return text
  }

  #printLog(id: number): string {
    const { storage } = this.#at(id)
    const first = storage.firstIndex()
    const last = storage.lastIndex()
    if (last < first) return `log is empty: first index=${first}, last index=${last}\n`
    return storage
      .all()
      .map((entry) => `${describeEntry(entry)}\n`)
      .join('')
  }

  #printStates(): string {
    return this.#nodes
      .map(({ node }) => {
        const { voters, votersOutgoing } = node.confState
        const isVoter = voters.includes(node.id) || votersOutgoing.includes(node.id)
        const role = `${describeRole(node.role)} (${isVoter ? 'Voter' : 'Non-Voter'})`
        return `${node.id}: ${role} Term:${node.term} Lead:${node.leaderId}\n`
      })
      .join('')
  }

  #printStatus(id: number): string {
    const { progress } = this.#at(id).node.status()
    return progress.map((of) => `${of.id}: ${describeProgress(of)}\n`).join('')
  }
}

function persist(storage: MemoryStorage, ready: Ready): void {
  if (ready.hardState !== undefined) storage.hardState = ready.hardState
  if (ready.snapshot !== undefined) storage.install(ready.snapshot)
  storage.append(ready.entries)
}

function apply(node: RawNode, storage: MemoryStorage, entries: readonly Entry[]): void {
  for (const entry of entries) {
    let confState: ConfState = storage.latest.metadata.confState
    if (entry.type !== EntryType.Normal) confState = node.applyConfChange(decodeConfChange(entry))
    storage.latest = {
      metadata: { index: entry.index, term: entry.term, confState },
      data: Buffer.concat([storage.latest.data, entry.data]),
    }
  }
}

function applied(node: RawNode, entries: readonly Entry[]): void {
  const last = entries.at(-1)
  if (last !== undefined) node.advanceApplyTo(last.index)
}

/** A follower's committed entries that only waited for being persisted. */
function takeFreed(node: RawNode, storage: MemoryStorage): readonly Entry[] {
  if (!node.hasReady()) return []
  const ready = node.ready()
  const isPlain =
    ready.softState === undefined &&
    ready.hardState === undefined &&
    ready.entries.length + ready.messages.length + ready.persistedMessages.length === 0
  if (!isPlain) throw new Error('persisting on a follower frees committed entries and nothing else')
  node.advanceAppendAsync(ready)
  apply(node, storage, ready.committedEntries)
  node.onPersistReady(ready.number)
  applied(node, ready.committedEntries)
  return ready.committedEntries
}

function number(step: ScriptStep, position: number): number {
  return Number(step.args[position]!.key)
}

function value(step: ScriptStep, key: string): string | undefined {
  return step.args.find((arg) => arg.key === key)?.values[0]
}

function ids(step: ScriptStep, key: string): number[] {
  return (step.args.find((arg) => arg.key === key)?.values ?? []).map(Number)
}

function transitionOf(name: string | undefined): ConfChangeTransition {
  if (name === undefined || name === 'auto') return ConfChangeTransition.Auto
  return name === 'implicit' ? ConfChangeTransition.Implicit : ConfChangeTransition.Explicit
}

function configOf(step: ScriptStep, id: number, applied: number): RaftConfig {
  const flag = (key: string): boolean => value(step, key) === 'true'
  return {
    ...defaultRaftConfig(id, applied),
    electionTick: ELECTION_TICK,
    heartbeatTick: 1,
    maxSizePerMsg: UNLIMITED,
    maxInflightMsgs: Number(value(step, 'inflight') ?? UNLIMITED),
    checkQuorum: flag('checkquorum'),
    preVote: flag('prevote'),
    readOnlyOption:
      value(step, 'read-only') === 'lease-based' ? ReadOnlyOption.LeaseBased : ReadOnlyOption.Safe,
    maxCommittedSizePerReady: Number(value(step, 'max-committed-size-per-ready') ?? 0),
    disableProposalForwarding: false,
    disableConfChangeValidation: flag('disable-conf-change-validation'),
    stepDownOnRemoval: flag('step-down-on-removal'),
    commitByVote: false,
  }
}
