/** PD and three stores as processes of their own, with their default settings. */
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { builtUrl } from '../base/built-url.ts'
import type { RegionStatus } from '../store/port.ts'
import { endProcess } from './end-process.ts'
import { metricIn } from './metric.ts'

const MAIN = fileURLToPath(builtUrl('server/main.js'))
const STORES = [1, 2, 3] as const
const READY_MS_MAX = 40_000
const POLL_MS = 20

export class StoreProcesses {
  readonly #dir: string
  readonly #base: number
  readonly #running: ChildProcess[] = []

  /** Ports basePort … basePort + 6. */
  constructor(dir: string, basePort: number) {
    this.#dir = dir
    this.#base = basePort
  }

  /** Resolves when all stores serve. */
  async start(regions: number): Promise<void> {
    const plan = ['--initial-stores', '3', '--regions', `${regions}`, '--replicas', '3']
    const dir = join(this.#dir, 'pd')
    this.#spawn(['pd', '--data-dir', dir, '--client-addr', this.pd, ...plan])
    await Promise.all(STORES.map((number) => this.#startStore(number)))
  }

  get pd(): string {
    return `127.0.0.1:${this.#base}`
  }

  /** Resolves when it serves. */
  async #startStore(number: number): Promise<void> {
    const child = this.#spawn([
      'server',
      ...['--data-dir', join(this.#dir, `store-${number}`)],
      ...['--addr', `127.0.0.1:${this.#base + number}`, '--pd-endpoints', this.pd],
      ...['--status-addr', this.#status(number), '--log-level', 'warn'],
    ])
    const endMs = performance.now() + READY_MS_MAX
    while ((await this.#fetch(number, '/ready'))?.status !== 200) {
      if (child.exitCode !== null) throw new Error(`store ${number} ended with ${child.exitCode}`)
      if (performance.now() > endMs) throw new Error(`store ${number} is not ready`)
      await sleep(POLL_MS)
    }
  }

  async region(number: number, id: number): Promise<RegionStatus | undefined> {
    const answer = await this.#fetch(number, `/region/${id}`)
    return answer?.ok === true ? ((await answer.json()) as RegionStatus) : undefined
  }

  /** A counter or gauge; 0 when the store does not answer. */
  async metric(number: number, name: string): Promise<number> {
    const text = (await (await this.#fetch(number, '/metrics'))?.text()) ?? ''
    return metricIn(text, name) ?? 0
  }

  async stop(): Promise<void> {
    await Promise.all(this.#running.map((child) => endProcess(child)))
  }

  #status(number: number): string {
    return `127.0.0.1:${this.#base + STORES.length + number}`
  }

  #fetch(number: number, path: string): Promise<Response | undefined> {
    return fetch(`http://${this.#status(number)}${path}`).catch(() => undefined)
  }

  #spawn(args: string[]): ChildProcess {
    const child = spawn(process.execPath, [MAIN, ...args], { stdio: 'ignore' })
    this.#running.push(child)
    return child
  }
}
