/** The command line as a user has it: real processes, ended by pid whatever happens. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { afterAll, onTestFinished } from 'vitest'
import { MAIN } from './harness.ts'

export interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly input?: string | Buffer
  /** Standard output goes to this file instead. */
  readonly outputFile?: string
}

const commands: ChildProcess[] = []
// One that a test gave up waiting for is still there; to one that has ended, this is nothing.
afterAll(() => {
  for (const command of commands) command.kill('SIGKILL')
})

/** Runs a command to its end. */
export async function polyraft(
  args: readonly string[],
  options: RunOptions = {},
): Promise<Outcome> {
  const output = options.outputFile === undefined ? 'pipe' : openSync(options.outputFile, 'w')
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['pipe', output, 'pipe'] })
  commands.push(child)
  if (typeof output === 'number') closeSync(output)
  // A command that fails early does not read all of its input.
  child.stdin!.on('error', () => {})
  child.stdin!.end(options.input ?? '')
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk))
  child.stderr!.on('data', (chunk: Buffer) => stderr.push(chunk))
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return {
    code,
    stdout: Buffer.concat(stdout).toString(),
    stderr: Buffer.concat(stderr).toString(),
  }
}

/** A command that goes on until it is told to stop; killed at the end of the test. */
export class Running {
  readonly child: ChildProcess
  stdout = ''
  stderr = ''
  /** Both, as they came. */
  output = ''
  readonly exited: Promise<number | null>
  #ended = false
  #wake: () => void = () => {}

  /** `leadsGroup`: it has a process group of its own, as under a shell. */
  constructor(args: readonly string[], { leadsGroup = false } = {}) {
    this.child = spawn(process.execPath, [MAIN, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: leadsGroup,
    })
    for (const stream of ['stdout', 'stderr'] as const) {
      this.child[stream]!.on('data', (chunk: Buffer) => {
        this[stream] += chunk.toString()
        this.output += chunk.toString()
        this.#wake()
      })
    }
    this.exited = new Promise((resolve) => {
      // Not when it exits: the last of its output may come after that.
      this.child.once('close', (code) => {
        this.#ended = true
        resolve(code)
        this.#wake()
      })
    })
    onTestFinished(async () => {
      this.child.kill('SIGKILL')
      await this.exited
    })
  }

  /** Waits for text of it; fails when it ended without. */
  async until(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.output)
      if (found !== null) return found
      if (this.#ended) throw new Error(`it ended without ${pattern}:\n${this.output}`)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    this.child.kill(signal)
    return this.exited
  }
}
