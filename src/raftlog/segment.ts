/**
 * Which segments there are and what keeps each of them alive. A segment is dead when no region has
 * an entry in it and no region's newest state is in it.
 *
 * Only the oldest segment of a stream may go, so that marks (compaction, removal, overwriting)
 * outlive what they hide; and one of a later run only when no earlier run is left in any stream,
 * because a region may have changed streams between runs.
 */
import { assert } from '../base/assert.ts'
import { segmentName } from './format.ts'

export class Segment {
  readonly stream: number
  readonly id: number
  readonly run: number
  readonly name: string
  /** Bytes placed in it, header included. */
  size: number
  /** Entries in the index that are here. */
  liveEntries = 0
  /** Their frames. */
  liveBytes = 0
  /** Regions whose newest state is here. */
  liveStates = 0

  constructor(stream: number, id: number, run: number, size: number) {
    this.stream = stream
    this.id = id
    this.run = run
    this.name = segmentName(stream, id)
    this.size = size
  }

  get dead(): boolean {
    return this.liveEntries === 0 && this.liveStates === 0
  }
}

export class SegmentTable {
  /** By stream, oldest first. Streams of earlier runs may go beyond the writers of this one. */
  readonly #streams: Segment[][] = []
  #run = 0
  #begun = 0

  /** The run that this process writes. */
  get run(): number {
    return this.#run
  }

  /** Segments ever added: rises when one begins. */
  get begun(): number {
    return this.#begun
  }

  get count(): number {
    return this.#streams.reduce((sum, segments) => sum + segments.length, 0)
  }

  get bytes(): number {
    let bytes = 0
    for (const segments of this.#streams) for (const segment of segments) bytes += segment.size
    return bytes
  }

  get liveEntries(): number {
    let entries = 0
    for (const segments of this.#streams) for (const one of segments) entries += one.liveEntries
    return entries
  }

  get liveBytes(): number {
    let bytes = 0
    for (const segments of this.#streams) for (const segment of segments) bytes += segment.liveBytes
    return bytes
  }

  beginRun(run: number): void {
    assert(run > this.#run, 'runs rise')
    this.#run = run
  }

  add(segment: Segment): void {
    while (this.#streams.length <= segment.stream) this.#streams.push([])
    const segments = this.#streams[segment.stream]!
    const last = segments.at(-1)
    assert(last === undefined || last.id + 1 === segment.id, 'segment ids rise by one')
    segments.push(segment)
    this.#begun++
  }

  newest(stream: number): Segment | undefined {
    return this.#streams[stream]?.at(-1)
  }

  /** Oldest segments that are not being written. */
  oldest(): Segment[] {
    const found: Segment[] = []
    for (const segments of this.#streams) {
      const first = segments[0]
      if (first !== undefined && !this.#active(first, segments)) found.push(first)
    }
    return found
  }

  /** The oldest segments, as many as have to go to get down to `bytes`. */
  oldestAbove(bytes: number): Set<Segment> {
    const found: { segment: Segment; age: number }[] = []
    for (const segments of this.#streams) {
      for (let i = 0; i < segments.length; i++) {
        if (!this.#active(segments[i]!, segments)) found.push({ segment: segments[i]!, age: i })
      }
    }
    found.sort((a, b) => a.segment.run - b.segment.run || a.age - b.age)
    const chosen = new Set<Segment>()
    let left = this.bytes
    for (const { segment } of found) {
      if (left <= bytes) break
      chosen.add(segment)
      left -= segment.size
    }
    return chosen
  }

  /** Takes out what may go now, in the order in which it has to go. */
  takeDead(): Segment[] {
    const taken: Segment[] = []
    let found = true
    while (found) {
      found = false
      const oldestRun = this.#oldestRun()
      for (const segments of this.#streams) {
        const first = segments[0]
        if (first === undefined || !first.dead || first.run !== oldestRun) continue
        if (this.#active(first, segments)) continue
        taken.push(segments.shift()!)
        found = true
      }
    }
    return taken
  }

  #active(segment: Segment, segments: readonly Segment[]): boolean {
    return segment.run === this.#run && segment === segments.at(-1)
  }

  #oldestRun(): number {
    let run = this.#run
    for (const segments of this.#streams) run = Math.min(run, segments[0]?.run ?? run)
    return run
  }
}
