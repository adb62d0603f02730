/** What scripts print of readies, and how printed text is compared. */
import {
  describeEntry,
  describeHardState,
  describeMessage,
  describeReadState,
  describeSnapshot,
  describeSoftState,
} from '../../../src/raft/describe.ts'
import type { Ready } from '../../../src/raft/ready.ts'
import type { Entry } from '../../../src/raft/types.ts'

const LOG_LINE = /^\s*(DEBUG|INFO|WARN|ERROR) /

/** A ready, with the committed entries that its persistence set free in the same breath. */
export function printReady(ready: Ready, committed: readonly Entry[], mustSync: boolean): string {
  const messages = [...ready.messages, ...ready.persistedMessages]
  const text = printState(ready, committed) + section('Messages', messages.map(describeMessage))
  return text === '' ? '<empty Ready>\n' : `Ready MustSync=${mustSync}:\n${text}`
}

/** A ready as it is before it is durable: what leaves at once, and what only then. */
export function printAsyncReady(ready: Ready): string {
  const text =
    printState(ready, ready.committedEntries) +
    section('Messages', ready.messages.map(describeMessage)) +
    section('WhenPersisted', ready.persistedMessages.map(describeMessage))
  return `Ready ${ready.number} MustSync=${ready.mustSync}:\n${text}`
}

function printState(ready: Ready, committed: readonly Entry[]): string {
  let text = ''
  if (ready.softState !== undefined) text += `${describeSoftState(ready.softState)}\n`
  if (ready.hardState !== undefined) text += `HardState ${describeHardState(ready.hardState)}\n`
  text += section('ReadStates', ready.readStates.map(describeReadState))
  text += section('Entries', ready.entries.map(describeEntry))
  if (ready.snapshot !== undefined) text += `Snapshot ${describeSnapshot(ready.snapshot)}\n`
  return text + section('CommittedEntries', committed.map(describeEntry))
}

function section(title: string, lines: readonly string[]): string {
  return lines.length === 0 ? '' : `${title}:\n${lines.join('\n')}\n`
}

export function indent(text: string): string {
  return text.replace(/^(?=.)/gm, '  ')
}

/** Without log lines; nothing left is "ok". */
export function comparable(text: string): string {
  const kept = text.split('\n').filter((line) => line !== '' && !LOG_LINE.test(line))
  return kept.length === 0 ? 'ok\n' : `${kept.join('\n')}\n`
}

/** Both texts side by side, for a failing step. */
export function difference(expected: string, actual: string): string {
  const want = expected.split('\n')
  const got = actual.split('\n')
  const lines: string[] = []
  for (let i = 0; i < Math.max(want.length, got.length); i++) {
    if (want[i] === got[i]) lines.push(`    ${want[i]}`)
    else {
      if (want[i] !== undefined) lines.push(`  - ${want[i]}`)
      if (got[i] !== undefined) lines.push(`  + ${got[i]}`)
    }
  }
  return lines.join('\n')
}
