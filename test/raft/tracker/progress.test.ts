import { describe, expect, test } from 'vitest'
import { Inflights } from '../../../src/raft/tracker/inflights.ts'
import { Progress, ProgressState } from '../../../src/raft/tracker/progress.ts'

function progress(match: number, next: number): Progress {
  const made = new Progress(1, next, false, true, new Inflights(4, 0))
  made.match = match
  return made
}

describe('Progress', () => {
  test('pauses after one probe with entries, not after an empty one', () => {
    const made = progress(0, 5)
    made.onAppendSent(0, 0, 3)
    expect(made.isPaused).toBe(false)
    made.onAppendSent(2, 10, 3)
    expect(made.isPaused).toBe(true)
    expect(made.next).toBe(5)
  })

  test('streams while replicating, until its window is full', () => {
    const made = progress(4, 5)
    made.becomeReplicate()
    for (let i = 0; i < 4; i++) made.onAppendSent(1, 1, 3)
    expect(made.next).toBe(9)
    expect(made.isPaused).toBe(true)
    expect(made.maybeUpdate(6)).toBe(true)
    made.inflights.freeTo(6)
    expect(made.isPaused).toBe(false)
    expect(made.inflights.count).toBe(2)
  })

  test('steps back by the hint while probing, and not at all for a stale refusal', () => {
    const made = progress(2, 10)
    expect(made.maybeStepBack(7, 3)).toBe(false)
    expect(made.maybeStepBack(9, 4)).toBe(true)
    expect(made.next).toBe(5)
    expect(made.maybeStepBack(4, 0)).toBe(true)
    expect(made.next).toBe(3)
  })

  test('steps back to its match while replicating', () => {
    const made = progress(4, 5)
    made.becomeReplicate()
    made.onAppendSent(3, 3, 7)
    expect(made.maybeStepBack(4, 0)).toBe(false)
    expect(made.maybeStepBack(6, 5)).toBe(true)
    expect(made.next).toBe(5)
    expect(made.sentCommit).toBe(4)
  })

  test('is probed behind the snapshot that was sent', () => {
    const made = progress(2, 3)
    made.becomeSnapshot(20)
    expect(made.isPaused).toBe(true)
    expect(made.next).toBe(21)
    made.becomeProbe()
    expect(made.state).toBe(ProgressState.Probe)
    expect(made.next).toBe(21)
    expect(made.pendingSnapshot).toBe(0)
  })

  test('tells whether a commit index is worth sending', () => {
    const made = progress(4, 5)
    made.becomeReplicate()
    made.onAppendSent(2, 2, 3)
    expect(made.canRaiseCommit(3)).toBe(false)
    expect(made.canRaiseCommit(5)).toBe(true)
    made.onAppendSent(0, 0, 9)
    expect(made.canRaiseCommit(10)).toBe(false)
  })
})
