/**
 * A directory for a benchmark, and what it has running there. Both are gone at its end, whether it
 * came to one, failed, or was interrupted: processes and hundreds of MiB would be left otherwise.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'

const SIGNALS = ['SIGINT', 'SIGTERM'] as const
type Signal = (typeof SIGNALS)[number]
/** A thread that still writes makes files while they are removed. */
const REMOVE_TRIES_MAX = 5
/** What a shell calls the end by a signal. */
const EXIT_CODE_OF_SIGNALS = 128

export class Scratch {
  readonly dir: string
  readonly #closers: (() => Promise<void> | void)[] = []

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

  async end(): Promise<void> {
    for (let close = this.#closers.pop(); close !== undefined; close = this.#closers.pop()) {
      await close()
    }
    rmSync(this.dir, { recursive: true, force: true, maxRetries: REMOVE_TRIES_MAX })
  }
}

/** A second signal ends the process at once. */
export async function withScratch<T>(
  name: string,
  use: (scratch: Scratch) => Promise<T>,
): Promise<T> {
  const scratch = new Scratch(name)
  let interrupted = false
  const interrupt = (signal: Signal): void => {
    interrupted = true
    stopListening()
    // A load goes on meanwhile, on clients that are closed: what fails now is nobody's business.
    process.on('uncaughtException', () => {})
    process.stderr.write('interrupted: what the benchmark started is stopped and removed\n')
    const exit = (): never => process.exit(EXIT_CODE_OF_SIGNALS + constants.signals[signal])
    scratch.end().then(exit, (error: unknown) => {
      process.stderr.write(`${scratch.dir} may be left: ${error}\n`)
      exit()
    })
  }
  const stopListening = (): void => {
    for (const signal of SIGNALS) process.off(signal, interrupt)
  }
  for (const signal of SIGNALS) process.on(signal, interrupt)
  try {
    return await use(scratch)
  } finally {
    // The interruption ends the process.
    if (interrupted) await new Promise(() => {})
    stopListening()
    await scratch.end()
  }
}
