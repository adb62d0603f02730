/**
 * A real cluster for tests: `polyraft up` as a child process in a temporary directory, on free ports
 * of the loopback interface. Everything it started is ended by pid, also when a test fails.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { builtUrl } from '../../src/base/built-url.ts'
import { freePortBlock } from '../../src/bench/port-block.ts'
import type { Pids } from '../../src/server/pids-file.ts'

export const MAIN = fileURLToPath(builtUrl('server/main.js'))
const READY_MS_MAX = 40_000
const STOP_MS_MAX = 20_000

export interface UpOptions {
  readonly stores?: number
  readonly regions?: number
  readonly restart?: boolean
}

export class TestCluster {
  readonly dir: string
  readonly pdPort: number
  readonly #storePort: number
  readonly #statusPort: number
  readonly #options: UpOptions
  #process: ChildProcess | undefined
  #exited: Promise<number | null> = Promise.resolve(0)
  output = ''

  static async start(options: UpOptions = {}): Promise<TestCluster> {
    const stores = options.stores ?? 3
    const base = await freePortBlock(1 + 2 * stores)
    const dir = mkdtempSync(join(tmpdir(), 'polyraft-cluster-'))
    const cluster = new TestCluster(dir, base, stores, options)
    try {
      await cluster.up()
    } catch (error) {
      await cluster.destroy()
      throw error
    }
    return cluster
  }

  private constructor(dir: string, base: number, stores: number, options: UpOptions) {
    this.dir = dir
    this.pdPort = base
    this.#storePort = base + 1
    this.#statusPort = base + 1 + stores
    this.#options = options
  }

  get pd(): string {
    return `127.0.0.1:${this.pdPort}`
  }

  get supervisorPid(): number {
    return this.#process!.pid!
  }

  pids(): Pids {
    return readPids(this.dir)
  }

  /** Runs `polyraft up` until it prints its ready line. */
  async up(): Promise<void> {
    const { stores = 3, regions = 1, restart = true } = this.#options
    const args = [
      MAIN,
      'up',
      ...['--stores', `${stores}`, '--regions', `${regions}`, '--dir', this.dir],
      ...['--pd-port', `${this.pdPort}`, '--store-port', `${this.#storePort}`],
      ...['--status-port', `${this.#statusPort}`],
      ...(restart ? [] : ['--no-restart']),
    ]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#process = child
    this.output = ''
    this.#exited = new Promise((resolve) => child.once('exit', (code) => resolve(code)))
    await new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(this.#report('not ready'))), READY_MS_MAX)
      const take = (chunk: Buffer): void => {
        this.output += chunk.toString()
        if (/^ready/m.test(this.output)) {
          clearTimeout(late)
          resolve()
        }
      }
      child.stdout!.on('data', take)
      child.stderr!.on('data', take)
      child.once('exit', (code) => {
        clearTimeout(late)
        reject(new Error(this.#report(`exited with ${code}`)))
      })
    })
  }

  /** Graceful: what Ctrl-C does. Resolves with the exit code. */
  async stop(): Promise<number | null> {
    this.#process?.kill('SIGTERM')
    const late = new Promise<never>((_, reject) => {
      setTimeout(() => reject(new Error(this.#report('did not stop'))), STOP_MS_MAX).unref()
    })
    return Promise.race([this.#exited, late])
  }

  /** Every process of the cluster at once, without warning. */
  async killAll(): Promise<void> {
    const { pd, stores } = this.pids()
    const all = [this.supervisorPid, pd, ...stores.map(({ pid }) => pid)]
    for (const pid of all) kill(pid)
    await this.#exited
    for (const pid of all) await gone(pid)
  }

  killStore(index: number): void {
    kill(this.pids().stores[index]!.pid)
  }

  async destroy(): Promise<void> {
    if (this.#process !== undefined && this.#process.exitCode === null) {
      await this.killAll().catch(() => this.#process?.kill('SIGKILL'))
    }
    rmSync(this.dir, { recursive: true, force: true })
  }

  #report(what: string): string {
    return `polyraft up ${what}; its output:\n${this.output}`
  }
}

export function readPids(dir: string): Pids {
  return JSON.parse(readFileSync(join(dir, 'pids.json'), 'utf8')) as Pids
}

/** 0 is one that does not run: to a signal it would be this very process and all around it. */
function kill(pid: number): void {
  if (pid === 0) return
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    // It may have ended by itself meanwhile.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

async function gone(pid: number): Promise<void> {
  if (pid === 0) return
  for (;;) {
    try {
      process.kill(pid, 0)
    } catch {
      return
    }
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
