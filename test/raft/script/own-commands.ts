/**
 * What our own scripts can say beyond the public language; test/README.md tells how to write one.
 *
 *   tick <node> <n>                              so many ticks
 *   take-ready <node>                            takes one ready: written, not durable
 *   sync <node> [n]                              the oldest n readies, or all, are durable …
 *   tell <node> [n]                              … and the node hears it
 *   persist <node> [n]                           both at once
 *   restart <node> [applied=k]                   comes back with what is durable
 *   read-index <node> <context>
 *   lease <node>                                 does it hold the lease?
 *   report-snapshot <leader> <node> ok|failed
 *   request-snapshot <node>
 *   unavailable <node> to=(…)                    entries for these must be fetched first; 0 = itself
 *   fetched <node> to=k                          they are in memory now
 *   raft-status <node>
 *
 * `add-nodes` also knows max-uncommitted-size, max-size-per-msg, disable-proposal-forwarding and
 * commit-by-vote; `propose` takes several payloads; it and `campaign` tell why they are refused.
 */
import { describeHardState, describeMessage, describeStatus } from '../../../src/raft/describe.ts'
import type { Message } from '../../../src/raft/types.ts'
import { ids, number, value, word } from './args.ts'
import type { ScriptNode } from './node.ts'
import type { ScriptStep } from './parser.ts'
import { printAsyncReady } from './printer.ts'

export type Command = (step: ScriptStep) => string

export interface ScriptWorld {
  at(id: number): ScriptNode
  queue(messages: readonly Message[]): void
}

export function ownCommands(world: ScriptWorld): Readonly<Record<string, Command>> {
  const nodeOf = (step: ScriptStep): ScriptNode => world.at(number(step, 0))
  const sync = (step: ScriptStep): string => {
    const messages = nodeOf(step).sync(countOf(step))
    world.queue(messages)
    return messages.map((message) => `${describeMessage(message)}\n`).join('')
  }
  const tell = (step: ScriptStep): string => {
    nodeOf(step).tell(countOf(step))
    return ''
  }
  return {
    tick: (step) => {
      for (let left = number(step, 1); left > 0; left--) nodeOf(step).node.tick()
      return ''
    },
    'take-ready': (step) => {
      if (!nodeOf(step).node.hasReady()) return 'no ready\n'
      const ready = nodeOf(step).take()
      world.queue(ready.messages)
      return printAsyncReady(ready)
    },
    sync,
    tell,
    persist: (step) => {
      const text = sync(step)
      tell(step)
      return text
    },
    campaign: (step) => named(nodeOf(step).node.campaign()),
    restart: (step) => {
      const applied = value(step, 'applied')
      nodeOf(step).restart(applied === undefined ? undefined : Number(applied))
      return describeRestarted(nodeOf(step))
    },
    'read-index': (step) => named(nodeOf(step).node.readIndex(Buffer.from(word(step, 1)))),
    lease: (step) => `${nodeOf(step).node.inLease()}\n`,
    'report-snapshot': (step) => {
      nodeOf(step).node.reportSnapshot(number(step, 1), word(step, 2) === 'ok')
      return ''
    },
    'request-snapshot': (step) => named(nodeOf(step).node.requestSnapshot()),
    unavailable: (step) => {
      const { unavailableTo } = nodeOf(step).storage
      unavailableTo.clear()
      for (const id of ids(step, 'to')) unavailableTo.add(id)
      return ''
    },
    fetched: (step) => {
      nodeOf(step).node.onEntriesFetched(Number(value(step, 'to')))
      return ''
    },
    'raft-status': (step) => `${describeStatus(nodeOf(step).node.status())}\n`,
    propose: (step) => {
      const { node } = nodeOf(step)
      return step.args
        .slice(1)
        .map(({ key }) => named(node.propose(Buffer.from(key))))
        .join('')
    },
  }
}

function countOf(step: ScriptStep): number {
  return step.args.length > 1 ? number(step, 1) : Number.MAX_SAFE_INTEGER
}

function named(result: string): string {
  return result === 'ok' ? '' : `refused: ${result}\n`
}

function describeRestarted({ node, storage }: ScriptNode): string {
  const state = describeHardState(storage.hardState)
  const log = `log=${storage.firstIndex()}..${storage.lastIndex()}`
  return `${state} ${log} applied=${node.appliedIndex}\n`
}
