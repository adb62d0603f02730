/**
 * PD and stores as processes of their own, each with the same settings file, which can be killed and
 * started one by one. Everything it started is ended by pid, also when a test fails.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePortBlock } from '../../src/bench/cluster-process.ts'
import { MAIN } from './harness.ts'

const READY_MS_MAX = 40_000

export class Processes {
  readonly dir: string
  readonly #base: number
  readonly #running = new Map<string, ChildProcess>()

  static async start(regions: number, settings: string): Promise<Processes> {
    const processes = new Processes(await freePortBlock(7), settings)
    try {
      await processes.#startPd(regions)
      await Promise.all([1, 2, 3].map((number) => processes.startStore(number)))
      return processes
    } catch (error) {
      await processes.destroy()
      throw error
    }
  }

  private constructor(base: number, settings: string) {
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
    return join(this.dir, `store-${number}`)
  }

  async #startPd(regions: number): Promise<void> {
    const plan = ['--initial-stores', '3', '--regions', `${regions}`, '--replicas', '3']
    const dir = join(this.dir, 'pd')
    this.#spawn('pd', ['pd', '--data-dir', dir, '--client-addr', this.pd, ...plan])
  }

  /** Resolves when it serves. */
  async startStore(number: number): Promise<void> {
    const child = this.#spawn(`store-${number}`, [
      'server',
      ...['-C', join(this.dir, 'store.toml'), '--data-dir', this.storeDir(number)],
      ...['--addr', this.address(number)],
      ...['--status-addr', this.#status(number), '--pd-endpoints', this.pd],
    ])
    const deadline = performance.now() + READY_MS_MAX
    while ((await this.#fetch(number, '/ready'))?.status !== 200) {
      if (child.exitCode !== null) throw new Error(`store ${number} ended: ${child.exitCode}`)
      if (performance.now() > deadline) throw new Error(`store ${number} is not ready`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  /** A figure of a store; 0 when it does not answer. */
  async metric(number: number, name: string): Promise<number> {
    const text = (await (await this.#fetch(number, '/metrics'))?.text()) ?? ''
    return Number(new RegExp(`^polyraft_${name}(?:_total)? (.*)$`, 'm').exec(text)?.[1] ?? 0)
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

  #spawn(name: string, args: string[]): ChildProcess {
    const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    const log = join(this.dir, `${name}.log`)
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.on('data', (chunk: Buffer) => appendFileSync(log, chunk))
    }
    this.#running.set(name, child)
    return child
  }

  #end(name: string, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#running.get(name)
    this.#running.delete(name)
    if (child === undefined || child.exitCode !== null) return Promise.resolve()
    return new Promise((resolve) => {
      child.once('close', () => resolve())
      child.kill(signal)
    })
  }
}

export interface RegionView {
  readonly role: string
  readonly firstIndex: number
  readonly lastIndex: number
  readonly appliedIndex: number
  readonly snapshot?: { readonly source: string; readonly install: string }
}
