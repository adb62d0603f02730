/**
 * A directory for a benchmark, and what it has running there. Both are gone at its end, whether it
 * came to one, failed, was interrupted, or lost the reader of its output: processes and hundreds of MiB
 * would be left otherwise.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { errorMessage, systemErrorCode } from '../base/errors.ts'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
type Signal = (typeof SIGNALS)[number]
/** A thread that still writes makes files while they are removed. */
const REMOVE_TRIES_MAX = 5
/** What a shell calls the end by a signal. */
const EXIT_CODE_OF_SIGNALS = 128
const EXIT_FAILED = 1

export class Scratch {
  readonly dir: string
  readonly #closers: (() => Promise<void> | void)[] = []
  #ended: Promise<void> | undefined

  constructor(name: string) {
    this.dir = mkdtempSync(join(tmpdir(), `polyraft-bench-${name}-`))
  }

  /** Last come, first closed. */
  onEnd(close: () => Promise<void> | void): void {
    this.#closers.push(close)
  }

  /**
   * What works in the directory, and is closed before that is removed: also when the end comes while
   * it is being opened. One that cannot be opened is its caller's business.
   */
  async open<T extends { close(): Promise<void> }>(opening: Promise<T>): Promise<T> {
    this.onEnd(async () => {
      const opened = await opening.catch(() => undefined)
      await opened?.close()
    })
    return opening
  }

  /** Also for whoever comes while it ends. */
  end(): Promise<void> {
    this.#ended ??= this.#end()
    return this.#ended
  }

  async #end(): Promise<void> {
    for (let close = this.#closers.pop(); close !== undefined; close = this.#closers.pop()) {
      await close()
    }
    rmSync(this.dir, { recursive: true, force: true, maxRetries: REMOVE_TRIES_MAX })
  }
}

const inUse = new Set<Scratch>()
let interrupted = false

/** A second signal ends the process at once. */
export async function withScratch<T>(
  name: string,
  use: (scratch: Scratch) => Promise<T>,
): Promise<T> {
  const scratch = new Scratch(name)
  inUse.add(scratch)
  if (inUse.size === 1) for (const signal of SIGNALS) process.on(signal, onSignal)
  try {
    return await use(scratch)
  } finally {
    await unlessInterrupted()
    await scratch.end()
    await unlessInterrupted()
    inUse.delete(scratch)
    if (inUse.size === 0) stopListening()
  }
}

/** What broke the stream that a benchmark prints to. A reader that went away is not told of it. */
export function onOutputError(error: Error): void {
  if (systemErrorCode(error) === 'EPIPE') interrupt('', exitCodeOf('SIGPIPE'))
  else interrupt(`cannot print: ${errorMessage(error)}`, EXIT_FAILED)
}

function onSignal(signal: Signal): void {
  interrupt('interrupted: what the benchmark started is stopped and removed', exitCodeOf(signal))
}

function exitCodeOf(signal: NodeJS.Signals): number {
  return EXIT_CODE_OF_SIGNALS + constants.signals[signal]
}

function interrupt(why: string, code: number): void {
  if (interrupted) return
  interrupted = true
  stopListening()
  // A load goes on meanwhile, on clients that are closed: what fails now is nobody's business.
  process.on('uncaughtException', () => {})
  if (why !== '') process.stderr.write(`${why}\n`)
  const ends = [...inUse].map((scratch) =>
    scratch.end().catch((error: unknown) => {
      process.stderr.write(`${scratch.dir} may be left: ${error}\n`)
    }),
  )
  Promise.all(ends).then(() => process.exit(code))
}

function stopListening(): void {
  for (const signal of SIGNALS) process.off(signal, onSignal)
}

/** The interruption ends the process. */
async function unlessInterrupted(): Promise<void> {
  if (interrupted) await new Promise(() => {})
}
