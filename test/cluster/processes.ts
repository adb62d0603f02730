/**
 * PD and stores as processes of their own, each with the same settings file, which can be killed and
 * started one by one. Everything it started is ended by pid, also when a test fails.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { metricIn } from '../../src/bench/metric.ts'
import { freePortBlock } from '../../src/bench/port-block.ts'
import { MAIN } from './harness.ts'

const READY_MS_MAX = 40_000

export class Processes {
  readonly dir: string
  readonly #base: number
  readonly #options: ProcessesOptions
  readonly #running = new Map<string, LoggedProcess>()

  static async start(
    regions: number,
    settings: string,
    options: ProcessesOptions = {},
  ): Promise<Processes> {
    const { stores = 3, fileKib } = options
    const processes = new Processes(await freePortBlock(7), settings, options)
    try {
      await processes.#startPd(regions, stores)
      const numbers = Array.from({ length: stores }, (_, i) => i + 1)
      const limit = (number: number) => (number === 1 ? fileKib : undefined)
      await Promise.all(numbers.map((number) => processes.startStore(number, limit(number))))
      return processes
    } catch (error) {
      await processes.destroy()
      throw error
    }
  }

  private constructor(base: number, settings: string, options: ProcessesOptions) {
    this.#options = options
    this.dir = mkdtempSync(join(tmpdir(), 'polyraft-processes-'))
    this.#base = base
    writeFileSync(join(this.dir, 'store.toml'), settings)
  }

  get pd(): string {
    return `127.0.0.1:${this.#base}`
  }

  address(number: number): string {
    return `127.0.0.1:${this.#base + number}`
  }

  storeDir(number: number): string {
    return join(this.#options.storesDir ?? this.dir, `store-${number}`)
  }

  async #startPd(regions: number, stores: number): Promise<void> {
    const counts = ['--initial-stores', `${stores}`, '--replicas', `${stores}`]
    const plan = [...counts, '--regions', `${regions}`]
    const dir = join(this.dir, 'pd')
    this.#spawn('pd', ['pd', '--data-dir', dir, '--client-addr', this.pd, ...plan])
  }

  /** Resolves when it serves. `fileKib` limits the size of every file that it writes. */
  async startStore(number: number, fileKib?: number): Promise<void> {
    const args = [
      'server',
      ...['-C', join(this.dir, 'store.toml'), '--data-dir', this.storeDir(number)],
      ...['--addr', this.address(number)],
      ...['--status-addr', this.#status(number), '--pd-endpoints', this.pd],
    ]
    const store = this.#spawn(`store-${number}`, args, fileKib)
    const deadline = performance.now() + READY_MS_MAX
    while ((await this.#fetch(number, '/ready'))?.status !== 200) {
      if (store.end !== undefined) throw new Error(`store ${number} ended: ${store.end}`)
      if (performance.now() > deadline) throw new Error(`store ${number} is not ready`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  /** A figure of a store; 0 when it does not answer. */
  async metric(number: number, name: string): Promise<number> {
    const text = (await (await this.#fetch(number, '/metrics'))?.text()) ?? ''
    return metricIn(text, name) ?? 0
  }

  async region(number: number, id: number): Promise<RegionView | undefined> {
    const answer = await this.#fetch(number, `/region/${id}`)
    return answer?.ok === true ? ((await answer.json()) as RegionView) : undefined
  }

  async kill(number: number): Promise<void> {
    await this.#end(`store-${number}`, 'SIGKILL')
  }

  async stop(number: number): Promise<void> {
    await this.#end(`store-${number}`, 'SIGTERM')
  }

  async destroy(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((name) => this.#end(name, 'SIGKILL')))
    rmSync(this.dir, { recursive: true, force: true })
  }

  #status(number: number): string {
    return `127.0.0.1:${this.#base + 3 + number}`
  }

  async #fetch(number: number, path: string): Promise<Response | undefined> {
    return fetch(`http://${this.#status(number)}${path}`).catch(() => undefined)
  }

  /** Resolves with the exit code of a store that ends by itself, or the signal. */
  exited(number: number): Promise<number | string> {
    return this.#running.get(`store-${number}`)!.ended
  }

  /** What a store has written since the first start. */
  output(number: number): string {
    return readFileSync(join(this.dir, `store-${number}.log`), 'utf8')
  }

  async status(number: number): Promise<StatusView | undefined> {
    const answer = await this.#fetch(number, '/status')
    return answer?.ok === true ? ((await answer.json()) as StatusView) : undefined
  }

  #spawn(name: string, args: string[], fileKib?: number): LoggedProcess {
    const stdio = ['ignore', 'pipe', 'pipe'] as ['ignore', 'pipe', 'pipe']
    const limited = ['-c', `ulimit -f ${fileKib}; exec "$0" "$@"`, process.execPath, MAIN, ...args]
    const child =
      fileKib === undefined
        ? spawn(process.execPath, [MAIN, ...args], { stdio })
        : spawn('bash', limited, { stdio })
    const running = new LoggedProcess(child, join(this.dir, `${name}.log`))
    this.#running.set(name, running)
    return running
  }

  async #end(name: string, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const running = this.#running.get(name)
    this.#running.delete(name)
    await running?.kill(signal)
  }
}

/** A child whose output goes to a file, behind what is there. */
class LoggedProcess {
  /** The exit code or signal, known when all its output is. */
  end: number | string | undefined = undefined
  readonly ended: Promise<number | string>
  readonly #child: ChildProcess

  constructor(child: ChildProcess, log: string) {
    this.#child = child
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.on('data', (chunk: Buffer) => appendFileSync(log, chunk))
    }
    this.ended = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        this.end = code ?? signal!
        resolve(this.end)
      })
    })
  }

  async kill(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    this.#child.kill(signal)
    await this.ended
  }
}

export interface ProcessesOptions {
  /** Default: 3. */
  readonly stores?: number
  /** Where data directories are made; default: the directory of everything else. */
  readonly storesDir?: string
  /** Limits the size of every file that the first store writes, until it is started again. */
  readonly fileKib?: number
}

export interface StatusView {
  readonly leaderCount: number
  readonly disk?: { readonly state: string }
}

export interface RegionView {
  readonly role: string
  readonly firstIndex: number
  readonly lastIndex: number
  readonly appliedIndex: number
  readonly snapshot?: { readonly source: string; readonly install: string }
}
