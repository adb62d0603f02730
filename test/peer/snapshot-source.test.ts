import { beforeEach, describe, expect, it } from 'vitest'
import { SnapshotSource } from '../../src/peer/snapshot-source.ts'
import type { Snapshot } from '../../src/raft/types.ts'

let released: (string | undefined)[]
let source: SnapshotSource

beforeEach(() => {
  released = []
  source = new SnapshotSource((data) =>
    released.push(data === undefined ? undefined : Buffer.from(data).toString()),
  )
})

const NOT_NOW = 'temporarily-unavailable'

function snapshot(index: number): Snapshot {
  const confState = {
    voters: [1, 2],
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
  }
  return { metadata: { index, term: 6, confState }, data: Buffer.from(`set-${index}`) }
}

/** Asks, builds, and answers what raft is then given. */
function build(index: number, requestIndex = 0, firstIndex = 10): Snapshot | string {
  expect(source.ask(requestIndex, firstIndex)).toBe(NOT_NOW)
  if (source.kind !== 'wanted') return source.kind
  source.onBuilt(source.begin(20), snapshot(index), firstIndex)
  return source.ask(requestIndex, firstIndex)
}

describe('the snapshot of a leader', () => {
  it('is "not now" until it is built, then the same one for all who ask', () => {
    expect(source.ask(0, 10)).toBe(NOT_NOW)
    const id = source.begin(20)
    expect(source.floor).toBe(20)
    expect(source.ask(0, 10)).toBe(NOT_NOW)
    expect(source.onBuilt(id, snapshot(30), 10)).toBe(true)
    expect(source.ask(0, 10)).toEqual(snapshot(30))
    expect(source.ask(30, 31)).toEqual(snapshot(30))
    expect(source.floor).toBe(30)
    expect(released).toEqual([])
  })

  it('is released once it was sent to everyone', () => {
    build(30)
    source.onSending()
    source.onSending()
    source.onSent(true)
    expect(released).toEqual([])
    source.onSent(false)
    expect(released).toEqual(['set-30'])
    expect(source.kind).toBe('idle')
  })

  it('is sent again after a failure, but not for ever', () => {
    build(30)
    for (let i = 0; i < 3; i++) {
      expect(released).toEqual([])
      expect(source.ask(0, 10)).toEqual(snapshot(30))
      source.onSending()
      source.onSent(false)
    }
    expect(released).toEqual(['set-30'])
  })

  it('is built anew when the log no longer joins it, or more is asked for', () => {
    expect(build(30)).toEqual(snapshot(30))
    expect(source.ask(0, 32)).toBe(NOT_NOW)
    expect(released).toEqual(['set-30'])
    expect(source.kind).toBe('wanted')
    source.onBuilt(source.begin(40), snapshot(40), 32)
    expect(source.ask(41, 32)).toBe(NOT_NOW)
    expect(released).toEqual(['set-30', 'set-40'])
  })

  it('is waste when it comes too late for the log, or for another leadership', () => {
    expect(build(30, 0, 32)).toBe(NOT_NOW)
    expect(released).toEqual(['set-30'])
    source.ask(0, 10)
    const id = source.begin(20)
    expect(source.abandon()).toBe(true)
    expect(source.onBuilt(id, snapshot(31), 10)).toBe(false)
    expect(released).toEqual(['set-30', 'set-31'])
    expect(source.floor).toBe(Number.POSITIVE_INFINITY)
  })

  it('that is being sent when leadership ends is released behind it', () => {
    build(30)
    source.onSending()
    expect(source.abandon()).toBe(false)
    expect(released).toEqual([])
    expect(source.ask(0, 10)).toBe(NOT_NOW)
    source.onSent(false)
    expect(released).toEqual(['set-30'])
  })

  it('that nobody asks for any more makes room for others', () => {
    build(30)
    for (let i = 0; i < 99; i++) source.tick()
    expect(source.ask(0, 10)).toEqual(snapshot(30))
    source.onSending()
    for (let i = 0; i < 200; i++) source.tick()
    expect(released).toEqual([])
    source.onSent(false)
    for (let i = 0; i < 100; i++) source.tick()
    expect(released).toEqual(['set-30'])
    expect(source.kind).toBe('idle')
  })

  it('that the log leaves behind is counted, until one arrives', () => {
    expect(source.late).toBe(0)
    build(30, 0, 32)
    expect(source.late).toBe(1)
    source.ask(0, 10)
    source.onBuilt(source.begin(20), snapshot(40), 10)
    source.ask(0, 42)
    expect(source.late).toBe(2)
    source.onBuilt(source.begin(20), snapshot(50), 42)
    source.onSending()
    expect(source.late).toBe(2)
    source.onSent(true)
    expect(source.late).toBe(0)
  })

  it('is tried five times, and later again', () => {
    for (let i = 0; i < 5; i++) {
      expect(source.ask(0, 10)).toBe(NOT_NOW)
      expect(source.kind).toBe('wanted')
      source.onBuilt(source.begin(20), undefined, 10)
    }
    expect(released).toEqual([undefined, undefined, undefined, undefined, undefined])
    let askings = 0
    while (source.kind !== 'wanted') {
      source.ask(0, 10)
      askings++
    }
    expect(askings).toBe(100)
  })
})
