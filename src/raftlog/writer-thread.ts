/**
 * Entry of a store writer thread. Each wake-up takes the requests that wait, writes them, and makes
 * them durable with one fdatasync and one answer: group commit without a timer. A group is bounded,
 * or a producer that never pauses would never hear an answer.
 *
 * The thread sleeps in Atomics.wait instead of an event loop: an fdatasync takes a tenth of a
 * millisecond on a good disk, and waking up through the loop costs a tenth of that.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { assert } from '../base/assert.ts'
import { PolyraftError } from '../base/errors.ts'
import { MIB } from '../base/limits.ts'
import { nodeFileSystem } from '../env/node-fs.ts'
import { diskError } from './disk-error.ts'
import type { WriterReply, WriterRequest, WriterThreadData } from './stream-sink.ts'
import { StreamWriter } from './stream-writer.ts'

assert(parentPort !== null, 'this file runs as a worker thread')
const port = parentPort
const { at, posted } = workerData as WriterThreadData
const GROUP_BYTES_MAX = MIB
let failed = false
let closing = false
/** Made by the first request, so that its errors are reported like any other. */
let writer: StreamWriter | undefined

function answer(reply: WriterReply): void {
  port.postMessage(reply)
}

/** The next request, in the order of posting; undefined when none waits. */
function take(): WriterRequest | undefined {
  return receiveMessageOnPort(port)?.message as WriterRequest | undefined
}

/**
 * Takes what waits behind `request` too, up to a group. Removals come after the answer: nobody
 * waits for them.
 */
function runGroup(request: WriterRequest): void {
  writer ??= new StreamWriter(nodeFileSystem, at)
  let next: WriterRequest | undefined = request
  let sequence = 0
  let bytes = 0
  const names: string[] = []
  while (next !== undefined) {
    if (next.kind === 'append') {
      writer.append(next.bytes, next.placements)
      sequence = next.lastSequence
      bytes += next.bytes.length
    } else if (next.kind === 'remove') {
      names.push(...next.names)
    } else {
      closing = true
    }
    if (bytes >= GROUP_BYTES_MAX) break
    next = take()
  }
  if (sequence > 0) {
    writer.sync()
    answer(sequence)
  }
  if (names.length > 0) writer.remove(names)
}

function fail(error: unknown): void {
  failed = true
  const reported = diskError(error)
  const code = reported instanceof PolyraftError ? reported.code : 'Internal'
  answer({ code, message: reported.message })
}

function handle(request: WriterRequest): void {
  try {
    if (!failed) runGroup(request)
    else if (request.kind === 'close') closing = true
  } catch (error) {
    fail(error)
  }
}

/** Sleeps on `posted` while nothing waits; what is posted after the look at it ends the sleep. */
function run(): void {
  while (!closing) {
    const seen = Atomics.load(posted, 0)
    for (let next = take(); next !== undefined && !closing; next = take()) handle(next)
    if (!closing) Atomics.wait(posted, 0, seen)
  }
}

try {
  run()
} finally {
  try {
    writer?.close()
  } finally {
    port.close()
  }
}
