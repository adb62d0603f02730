/**
 * A child process that is kept running: started, watched, started again after a pause when it dies,
 * and stopped. It knows that it is supervised: Ctrl-C in a terminal reaches both, and the supervisor
 * stops its children in order. It has no session of its own, because Linux shares processors out
 * between sessions first: a store that compacts would hold up the others for as long as it likes.
 *
 *   stopped ── start() ──▶ running ── died ──▶ waiting ── after RESTART_MS ──▶ running
 *                             │ stop()            │ stop(), or restarts are off
 *                             ▼                   ▼
 *                          stopped ◀──────────────┘
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { assert } from '../base/assert.ts'
import { SUPERVISED } from './process-life.ts'

const RESTART_MS = 1000
/** A graceful stop is bounded by seconds; who takes longer hangs. */
const STOP_MS_MAX = 20_000
/** Of standard error: far more than its last lines. */
const TAIL_CHARACTERS_MAX = 16_384

export interface ProcessSpec {
  /** For messages, such as "store 2". */
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  /** Standard output and error are appended here. */
  readonly outputFile: string
  readonly restart: boolean
}

export interface Death {
  readonly pid: number
  /** "exit code 1" or "signal SIGKILL". */
  readonly how: string
  /** It ended by itself with an error, rather than by a signal from outside. */
  readonly failed: boolean
  /** Last line of its standard error, stack frames aside; '' = none. Why it could not start, if so. */
  readonly lastLine: string
  readonly restarting: boolean
}

export interface ProcessEvents {
  onStart(pid: number): void
  onDeath(death: Death): void
}

export class ManagedProcess {
  readonly spec: ProcessSpec
  readonly #events: ProcessEvents
  #child: ChildProcess | undefined = undefined
  /** End of what the child wrote to standard error. */
  #tail = ''
  #timer: NodeJS.Timeout | undefined = undefined
  #stopping = false
  #onStopped: (() => void)[] = []

  constructor(spec: ProcessSpec, events: ProcessEvents) {
    this.spec = spec
    this.#events = events
  }

  /** Zero while it does not run. */
  get pid(): number {
    return this.#child?.pid ?? 0
  }

  start(): void {
    assert(this.#child === undefined, 'a running process is not started again')
    let output: number
    try {
      // One that was deleted is made anew: what starts there can say what that means.
      mkdirSync(dirname(this.spec.outputFile), { recursive: true })
      output = openSync(this.spec.outputFile, 'a')
    } catch (error) {
      // Its disk is full, say: that must not take the others with it.
      this.#onSpawnFailed(error as Error)
      return
    }
    const child = spawn(this.spec.command, this.spec.args, {
      env: { ...process.env, [SUPERVISED]: '1' },
      stdio: ['ignore', output, 'pipe'],
    })
    this.#child = child
    this.#tail = ''
    child.stderr!.on('data', (chunk: Buffer) => this.#onStderr(chunk, output))
    // Not when it exits: the last of its output, which says why, may come after that.
    child.once('close', (code, signal) => {
      closeSync(output)
      if (child.pid !== undefined) this.#onExit(code, signal)
    })
    child.once('error', (error) => {
      if (child.pid === undefined) this.#onSpawnFailed(error)
    })
    if (child.pid !== undefined) this.#events.onStart(child.pid)
  }

  /** SIGTERM, then waits for the end, which it forces at last. At once when it does not run. */
  stop(): Promise<void> {
    this.#stopping = true
    clearTimeout(this.#timer)
    const child = this.#child
    if (child === undefined) return Promise.resolve()
    child.kill('SIGTERM')
    this.#timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX)
    return new Promise((resolve) => this.#onStopped.push(resolve))
  }

  kill(): void {
    this.#stopping = true
    clearTimeout(this.#timer)
    this.#child?.kill('SIGKILL')
  }

  #onExit(code: number | null, signal: NodeJS.Signals | null): void {
    const how = signal === null ? `exit code ${code}` : `signal ${signal}`
    this.#ended(how, signal === null && code !== 0, tellingLine(this.#tail))
  }

  #onSpawnFailed(error: Error): void {
    this.#ended('a failed start', true, error.message)
  }

  #ended(how: string, failed: boolean, lastLine: string): void {
    const pid = this.pid
    this.#child = undefined
    clearTimeout(this.#timer)
    const restarting = this.spec.restart && !this.#stopping
    if (restarting) this.#timer = setTimeout(() => this.start(), RESTART_MS)
    if (!this.#stopping) this.#events.onDeath({ pid, how, failed, lastLine, restarting })
    for (const resolve of this.#onStopped.splice(0)) resolve()
  }

  /** By way of here, so that the reason of a death is known when its disk takes nothing any more. */
  #onStderr(chunk: Buffer, output: number): void {
    this.#tail = (this.#tail + chunk.toString('utf8')).slice(-TAIL_CHARACTERS_MAX)
    try {
      writeSync(output, chunk)
    } catch {
      // A full disk: what matters of it is told with the death.
    }
  }
}

/** The last line that is not a frame of a stack. */
function tellingLine(output: string): string {
  const lines = output.trimEnd().split('\n')
  return lines.findLast((line) => !/^\s/.test(line) && line !== '') ?? lines.at(-1)!
}
