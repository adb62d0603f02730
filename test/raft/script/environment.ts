/**
 * The world of a script: nodes, their storages, one queue of messages, and the commands. A node is
 * driven through the asynchronous interface, in the order persist, apply, send, report.
 */
import { encodeConfChangeV1, encodeConfChangeV2 } from '../../../src/raft/conf-change-codec.ts'
import { defaultRaftConfig, type RaftConfig } from '../../../src/raft/config.ts'
import {
  describeEntry,
  describeMessage,
  describeProgress,
  describeRole,
  messageName,
} from '../../../src/raft/describe.ts'
import { newMessage } from '../../../src/raft/message.ts'
import type { Ready } from '../../../src/raft/ready.ts'
import {
  ConfChangeTransition,
  type ConfChangeV2,
  type Entry,
  EntryType,
  type HardState,
  type Message,
  MessageType,
  ReadOnlyOption,
  StateRole,
} from '../../../src/raft/types.ts'
import { flag, ids, number, value } from './args.ts'
import { parseChanges } from './changes.ts'
import { ScriptNode } from './node.ts'
import { type Command, ownCommands, type ScriptWorld } from './own-commands.ts'
import type { ScriptStep } from './parser.ts'
import { indent, printReady } from './printer.ts'
import { confStateOf, MemoryStorage } from './storage.ts'

const UNLIMITED = Number.MAX_SAFE_INTEGER
const ELECTION_TICK = 3

export class ScriptEnvironment implements ScriptWorld {
  readonly #nodes: ScriptNode[] = []
  #messages: Message[] = []
  /** Log level `none`: commands act but print nothing. */
  #silent = false
  readonly #commands: Readonly<Record<string, Command>>
  readonly #publicCommands: Readonly<Record<string, Command>> = {
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

  /** `own`: the script may use our own commands too. */
  constructor(own = false) {
    this.#commands = own ? { ...this.#publicCommands, ...ownCommands(this) } : this.#publicCommands
  }

  run(step: ScriptStep): string {
    const command = this.#commands[step.command]
    if (command === undefined) throw new Error(`unknown command ${step.command}`)
    const silent = this.#silent || value(step, 'log-level') === 'none'
    const text = command(step)
    return silent ? '' : text
  }

  at(id: number): ScriptNode {
    const found = this.#nodes[id - 1]
    if (found === undefined) throw new Error(`no node ${id}`)
    return found
  }

  queue(messages: readonly Message[]): void {
    this.#messages.push(...messages)
  }

  #on(step: ScriptStep, position: number, run: (node: ScriptNode) => void): string {
    run(this.at(number(step, position)))
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
      const configFor = (id: number, applied: number): RaftConfig => configOf(step, id, applied)
      this.#nodes.push(new ScriptNode(this.#nodes.length + 1, configFor, storage))
    }
    return ''
  }

  #tick(step: ScriptStep, ticks: number): string {
    return this.#on(step, 0, ({ node }) => {
      for (let i = 0; i < ticks; i++) node.tick()
    })
  }

  #propose(step: ScriptStep): string {
    const { node } = this.at(number(step, 0))
    const result = node.propose(Buffer.from(step.args[1]!.key))
    return result === 'ok' ? '' : 'raft proposal dropped\n'
  }

  /** Steps a proposal message, as a forwarded one arrives: invalid changes become empty entries. */
  #proposeConfChange(step: ScriptStep): string {
    const { node } = this.at(number(step, 0))
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
    this.at(Number(value(step, 'from'))).node.transferLeader(Number(value(step, 'to')))
    return ''
  }

  #sendSnapshot(step: ScriptStep): string {
    const { node, storage } = this.at(number(step, 0))
    const message = newMessage(MessageType.Snapshot, number(step, 1))
    message.from = node.id
    message.term = node.term
    message.snapshot = storage.latest
    this.#messages.push(message)
    return `${describeMessage(message)}\n`
  }

  #compact(step: ScriptStep): string {
    this.at(number(step, 0)).compact(number(step, 1))
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
    const target = this.at(id)
    if (target.hasUnsynced) throw new Error(`node ${id} has readies that are to be persisted`)
    const { node } = target
    const roleBefore = node.role
    const before = target.storage.hardState
    const ready = target.take()
    this.queue([...ready.messages, ...target.sync(1)])
    target.tell(1)
    const leads = roleBefore === StateRole.Leader || node.role === StateRole.Leader
    const committed = [...ready.committedEntries, ...(leads ? [] : takeFreed(target))]
    return printReady(ready, committed, mustSyncLog(before, ready))
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
      const result = this.at(id).node.step(message)
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
        if (!this.at(id).node.hasReady()) continue
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
    const { storage } = this.at(id)
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
    const { leader } = this.at(id).node.status()
    return (leader?.progress ?? []).map((of) => `${of.id}: ${describeProgress(of)}\n`).join('')
  }
}

/** A follower's committed entries that only waited for being persisted. */
function takeFreed(target: ScriptNode): readonly Entry[] {
  if (!target.node.hasReady()) return []
  const ready = target.take()
  const isPlain =
    ready.softState === undefined &&
    ready.hardState === undefined &&
    ready.entries.length + ready.messages.length + ready.persistedMessages.length === 0
  if (!isPlain) throw new Error('persisting on a follower frees committed entries and nothing else')
  target.sync(1)
  target.tell(1)
  return ready.committedEntries
}

/** The public scripts count only what goes to the log: they have snapshots synced elsewhere. */
function mustSyncLog(before: HardState, { entries, hardState }: Ready): boolean {
  if (entries.length > 0) return true
  if (hardState === undefined) return false
  return hardState.term !== before.term || hardState.vote !== before.vote
}

function transitionOf(name: string | undefined): ConfChangeTransition {
  if (name === undefined || name === 'auto') return ConfChangeTransition.Auto
  return name === 'implicit' ? ConfChangeTransition.Implicit : ConfChangeTransition.Explicit
}

function configOf(step: ScriptStep, id: number, applied: number): RaftConfig {
  return {
    ...defaultRaftConfig(id, applied),
    electionTick: ELECTION_TICK,
    heartbeatTick: 1,
    maxSizePerMsg: Number(value(step, 'max-size-per-msg') ?? UNLIMITED),
    maxInflightMsgs: Number(value(step, 'inflight') ?? UNLIMITED),
    checkQuorum: flag(step, 'checkquorum'),
    preVote: flag(step, 'prevote'),
    readOnlyOption:
      value(step, 'read-only') === 'lease-based' ? ReadOnlyOption.LeaseBased : ReadOnlyOption.Safe,
    maxUncommittedSize: Number(value(step, 'max-uncommitted-size') ?? 0),
    maxCommittedSizePerReady: Number(value(step, 'max-committed-size-per-ready') ?? 0),
    disableProposalForwarding: flag(step, 'disable-proposal-forwarding'),
    disableConfChangeValidation: flag(step, 'disable-conf-change-validation'),
    stepDownOnRemoval: flag(step, 'step-down-on-removal'),
    commitByVote: flag(step, 'commit-by-vote'),
  }
}
