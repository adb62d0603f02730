/**
 * Where a stream's rounds go: a writer thread, or the calling thread when there are no writers.
 *
 * INVARIANTS
 * - onDurable's sequences rise and cover every lower one of the stream.
 * - After onFailed nothing is told any more.
 */
import { Worker } from 'node:worker_threads'
import { builtUrl } from '../base/built-url.ts'
import type { ErrorCode } from '../base/errors.ts'
import { PolyraftError } from '../base/errors.ts'
import type { FileSystem } from '../env/port.ts'
import { diskError } from './disk-error.ts'
import { type StreamLocation, StreamWriter } from './stream-writer.ts'

export interface SinkEvents {
  onDurable(stream: number, sequence: number): void
  onFailed(error: Error): void
}

export interface StreamSink {
  /** The bytes are the sink's from now on. */
  append(bytes: Buffer, placements: number[], lastSequence: number): void
  remove(names: string[]): void
  /** Finishes what was handed in, then stops. */
  close(): Promise<void>
}

/** What a writer thread gets at its start. */
export interface WriterThreadData {
  readonly at: StreamLocation
  /** Shared; counts requests, so that the thread can sleep until there is another. */
  readonly posted: Int32Array
}

/** To a writer thread. One append a round. */
export type WriterRequest =
  | { kind: 'append'; bytes: Uint8Array; placements: number[]; lastSequence: number }
  | { kind: 'remove'; names: string[] }
  | { kind: 'close' }

/** From a writer thread: the sequence up to which all is durable, or why it stopped. */
export type WriterReply = number | { code: ErrorCode; message: string }

export class InlineSink implements StreamSink {
  readonly #writer: StreamWriter
  readonly #stream: number
  readonly #events: SinkEvents
  #failed = false

  constructor(fs: FileSystem, at: StreamLocation, events: SinkEvents) {
    this.#writer = new StreamWriter(fs, at)
    this.#stream = at.stream
    this.#events = events
  }

  append(bytes: Buffer, placements: number[], lastSequence: number): void {
    if (this.#failed) return
    try {
      this.#writer.append(bytes, placements)
      this.#writer.sync()
    } catch (error) {
      this.#fail(error)
      return
    }
    this.#events.onDurable(this.#stream, lastSequence)
  }

  remove(names: string[]): void {
    if (this.#failed) return
    try {
      this.#writer.remove(names)
    } catch (error) {
      this.#fail(error)
    }
  }

  async close(): Promise<void> {
    this.#writer.close()
  }

  #fail(error: unknown): void {
    this.#failed = true
    this.#events.onFailed(diskError(error))
  }
}

export class ThreadSink implements StreamSink {
  readonly #worker: Worker
  readonly #events: SinkEvents
  readonly #exited: Promise<unknown>
  readonly #posted = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
  #closing = false
  #failed = false

  constructor(at: StreamLocation, events: SinkEvents) {
    this.#events = events
    const name = `raft-log-${at.stream}`
    const workerData: WriterThreadData = { at, posted: this.#posted }
    this.#worker = new Worker(builtUrl('raftlog/writer-thread.js'), { workerData, name })
    this.#exited = new Promise((resolve) => this.#worker.once('exit', resolve))
    this.#worker.on('message', (reply: WriterReply) => {
      if (typeof reply !== 'number') this.#fail(new PolyraftError(reply.code, reply.message))
      else if (!this.#failed) events.onDurable(at.stream, reply)
    })
    this.#worker.on('error', (error) => this.#fail(error))
    this.#worker.on('exit', (code) => {
      if (this.#closing) return
      this.#fail(new PolyraftError('Internal', `raft log writer exited with code ${code}`))
    })
  }

  append(bytes: Buffer, placements: number[], lastSequence: number): void {
    const request: WriterRequest = { kind: 'append', bytes, placements, lastSequence }
    this.#post(request, [bytes.buffer as ArrayBuffer])
  }

  remove(names: string[]): void {
    this.#post({ kind: 'remove', names }, [])
  }

  async close(): Promise<void> {
    this.#closing = true
    this.#post({ kind: 'close' }, [])
    await this.#exited
  }

  #post(request: WriterRequest, moved: ArrayBuffer[]): void {
    this.#worker.postMessage(request, moved)
    Atomics.add(this.#posted, 0, 1)
    Atomics.notify(this.#posted, 0)
  }

  #fail(error: Error): void {
    if (this.#failed) return
    this.#failed = true
    this.#events.onFailed(error)
  }
}
