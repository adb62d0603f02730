/**
 * A log stream whose writer "thread" is the world's: what is handed over is written at once, and is
 * durable when the world says so. Appends that come meanwhile share the next fsync.
 */
import type { FileSystem } from '../../src/env/port.ts'
import { diskError } from '../../src/raftlog/disk-error.ts'
import type { SinkEvents, StreamSink } from '../../src/raftlog/stream-sink.ts'
import { type StreamLocation, StreamWriter } from '../../src/raftlog/stream-writer.ts'
import { FirstFailure } from '../first-failure.ts'

interface Append {
  readonly bytes: Buffer
  readonly placements: number[]
  readonly lastSequence: number
}

export class SimSink implements StreamSink {
  readonly #writer: StreamWriter
  readonly #stream: number
  readonly #events: SinkEvents
  /** Calls back when the disk has done an fsync that begins now. */
  readonly #sync: (done: () => void) => void
  readonly #failure: FirstFailure
  #waiting: Append[] = []
  #syncing = false

  constructor(
    fs: FileSystem,
    at: StreamLocation,
    events: SinkEvents,
    sync: (done: () => void) => void,
  ) {
    this.#writer = new StreamWriter(fs, at)
    this.#stream = at.stream
    this.#events = events
    this.#sync = sync
    this.#failure = new FirstFailure((error) => events.onFailed(diskError(error)))
  }

  append(bytes: Buffer, placements: number[], lastSequence: number): void {
    this.#waiting.push({ bytes, placements, lastSequence })
    if (!this.#syncing) this.#begin()
  }

  remove(names: string[]): void {
    this.#failure.guard(() => this.#writer.remove(names))
  }

  close(): Promise<void> {
    this.#writer.close()
    return Promise.resolve()
  }

  #begin(): void {
    if (this.#failure.failed) return
    this.#syncing = true
    const group = this.#waiting
    this.#waiting = []
    this.#failure.guard(() => {
      for (const { bytes, placements } of group) this.#writer.append(bytes, placements)
    })
    this.#sync(() => this.#finish(group.at(-1)!.lastSequence))
  }

  #finish(lastSequence: number): void {
    if (this.#failure.failed) return
    this.#failure.guard(() => this.#writer.sync())
    if (this.#failure.failed) return
    this.#syncing = false
    this.#events.onDurable(this.#stream, lastSequence)
    if (this.#waiting.length > 0) this.#begin()
  }
}
