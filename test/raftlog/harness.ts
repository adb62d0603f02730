/** Opens a raft log on any file system and speaks to it in few words. */

import type { RoundScheduler } from '../../src/base/clock.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { MemoryFileSystem } from '../../src/env/memory-fs.ts'
import type { FileSystem } from '../../src/env/port.ts'
import type { Entry, HardState } from '../../src/raft/types.ts'
import { openRaftLog } from '../../src/raftlog/open.ts'
import type { RaftLog } from '../../src/raftlog/port.ts'
import type { RecoveryMode } from '../../src/raftlog/recovery.ts'
import type { SinkEvents, StreamSink } from '../../src/raftlog/stream-sink.ts'
import { type StreamLocation, StreamWriter } from '../../src/raftlog/stream-writer.ts'

export const DIR = '/raft'
export const HARD: HardState = { term: 1, vote: 0, commit: 0 }

export interface Opened {
  readonly log: RaftLog
  readonly fs: FileSystem
  /** [region, ready] in the order told. */
  readonly persisted: [number, number][]
  readonly failures: Error[]
  /** Resolves once the region heard of this ready. */
  untilPersisted(region: number, ready: number): Promise<void>
}

export interface OpenOptions {
  readonly fs?: FileSystem
  readonly dir?: string
  readonly writers?: number
  readonly segmentBytes?: number
  readonly cacheBytes?: number
  readonly recoveryMode?: RecoveryMode
  readonly purgeBytes?: number
  readonly scheduler?: RoundScheduler
  readonly openSink?: (at: StreamLocation, events: SinkEvents) => StreamSink
}

export async function open(options: OpenOptions = {}): Promise<Opened> {
  const fs = options.fs ?? new MemoryFileSystem()
  const persisted: [number, number][] = []
  const failures: Error[] = []
  const waiting: { region: number; ready: number; resolve: () => void }[] = []
  const log = await openRaftLog({
    dir: options.dir ?? DIR,
    fs,
    writers: options.writers ?? 0,
    segmentBytes: options.segmentBytes ?? 1 << 20,
    cacheBytes: options.cacheBytes ?? 1 << 20,
    events: {
      onPersisted: (region, ready) => {
        persisted.push([region, ready])
        for (const one of waiting) if (one.region === region && one.ready <= ready) one.resolve()
      },
      onFailed: (error) => failures.push(error),
    },
    logger: silentLogger,
    recoveryMode: options.recoveryMode ?? 'tolerate-tail',
    ...(options.purgeBytes === undefined ? {} : { purgeBytes: options.purgeBytes }),
    ...(options.scheduler === undefined ? {} : { scheduler: options.scheduler }),
    ...(options.openSink === undefined ? {} : { openSink: options.openSink }),
  })
  return {
    log,
    fs,
    persisted,
    failures,
    untilPersisted: (region, ready) =>
      new Promise((resolve) => {
        if (persisted.some(([r, n]) => r === region && n >= ready)) resolve()
        else waiting.push({ region, ready, resolve })
      }),
  }
}

export function entry(index: number, term: number, data: string | Uint8Array = ''): Entry {
  const bytes = typeof data === 'string' ? Buffer.from(data || `${index}@${term}`) : data
  return { index, term, type: 0, data: bytes }
}

export function entries(from: number, to: number, term: number, size = 0): Entry[] {
  const made: Entry[] = []
  for (let index = from; index <= to; index++) {
    const text = `${index}@${term}`
    made.push(entry(index, term, size === 0 ? text : text.padEnd(size, '.')))
  }
  return made
}

/** "index@term" of each; an answer that is no list as it is. */
export function shown(answer: Entry[] | string): string {
  if (typeof answer === 'string') return answer
  return answer.map((one) => `${one.index}@${one.term}`).join(' ')
}

/** All entries of a region, fetching what is not in memory. */
export async function readAll(log: RaftLog, region: number): Promise<Entry[]> {
  const state = log.state(region)!
  const found: Entry[] = []
  let low = state.firstIndex
  while (low <= state.lastIndex) {
    const answer = log.entries(region, low, state.lastIndex + 1, 64 << 20)
    if (answer === 'temporarily-unavailable') {
      await fetch(log, region, low, state.lastIndex + 1)
    } else if (typeof answer === 'string') {
      throw new Error(answer)
    } else {
      found.push(...answer)
      low += answer.length
    }
  }
  return found
}

export function fetch(
  log: RaftLog,
  region: number,
  low: number,
  high: number,
  maxBytes = 64 << 20,
): Promise<void> {
  return new Promise((resolve, reject) => {
    log.fetch(region, low, high, maxBytes, (error) => (error ? reject(error) : resolve()))
  })
}

/** A writer whose moments the test decides: what waits, what is written, what is fsynced. */
export class ManualSink implements StreamSink {
  readonly #writer: StreamWriter
  readonly #stream: number
  readonly #events: SinkEvents
  #waiting: { bytes: Buffer; placements: number[]; lastSequence: number }[] = []
  #written = 0
  #removals: string[] = []

  constructor(fs: FileSystem, at: StreamLocation, events: SinkEvents) {
    this.#writer = new StreamWriter(fs, at)
    this.#stream = at.stream
    this.#events = events
  }

  append(bytes: Buffer, placements: number[], lastSequence: number): void {
    this.#waiting.push({ bytes, placements, lastSequence })
  }

  remove(names: string[]): void {
    this.#removals.push(...names)
  }

  /** Writes what waits without making it durable. */
  write(): void {
    for (const { bytes, placements, lastSequence } of this.#waiting) {
      this.#writer.append(bytes, placements)
      this.#written = lastSequence
    }
    this.#waiting = []
  }

  commit(): void {
    this.write()
    if (this.#written === 0) return
    this.#writer.sync()
    const sequence = this.#written
    this.#written = 0
    this.#events.onDurable(this.#stream, sequence)
    const names = this.#removals
    this.#removals = []
    this.#writer.remove(names)
  }

  async close(): Promise<void> {
    this.#writer.close()
  }
}
