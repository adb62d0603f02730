/**
 * `polyraft up`: a placement driver and its stores as processes of this machine.
 *
 * INVARIANTS
 * - pids.json names the running processes: it is replaced whenever one starts.
 * - One supervisor a directory, and none while processes of an earlier one still use it.
 * - A start that fails by itself before the cluster was ready once ends the whole start; later, and
 *   after a signal from outside, a process is started again.
 * - Stores stop before PD, so that they can still tell it.
 */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { builtUrl } from '../base/built-url.ts'
import { EMPTY_BYTES } from '../base/bytes.ts'
import { errorMessage, PolyraftError } from '../base/errors.ts'
import { silentLogger } from '../base/logger.ts'
import type { DirectoryLock } from '../env/port.ts'
import { connectPd } from '../pd/grpc-client.ts'
import type { PdClient } from '../pd/port.ts'
import { claimDirectories } from './cluster-lock.ts'
import { type ClusterPlan, pdArguments, type StorePlan, storeArguments } from './cluster-plan.ts'
import { type Death, ManagedProcess } from './managed-process.ts'
import { readStoreIds, writePids } from './pids-file.ts'

const POLL_MS = 50
const PD_START_MS = 30_000

export interface SupervisorOptions {
  readonly plan: ClusterPlan
  readonly restart: boolean
  /** Something that people should know: a death, a restart. */
  readonly onNotice: (text: string) => void
}

export interface RunningStore extends StorePlan {
  readonly id: number
  readonly pid: number
}

interface StatusReply {
  readonly storeId: number
  readonly ready: boolean
}

export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #pd: ManagedProcess
  readonly #stores: ManagedProcess[]
  readonly #storeIds: number[]
  readonly #pidsFile: string
  readonly #failed: Promise<never>
  #fail: (error: Error) => void = () => {}
  #lock: DirectoryLock | undefined = undefined
  #wasReady = false
  #stopping = false

  constructor(options: SupervisorOptions) {
    const { plan } = options
    this.#options = options
    this.#pidsFile = join(plan.dir, 'pids.json')
    const known = readStoreIds(this.#pidsFile)
    this.#storeIds = plan.stores.map((store) => known.get(store.dir) ?? 0)
    this.#failed = new Promise((_resolve, reject) => {
      this.#fail = reject
    })
    // Awaited only while starting; a failure that nobody waits for is a notice, not a crash.
    this.#failed.catch(() => {})
    const main = fileURLToPath(builtUrl('server/main.js'))
    this.#pd = this.#manage('PD', pdArguments(plan, main), join(plan.pdDir, 'output.log'))
    this.#stores = plan.stores.map((store) =>
      this.#manage(
        `store ${store.number}`,
        storeArguments(plan, store, main),
        join(store.dir, 'output.log'),
      ),
    )
  }

  /** Resolves once every store serves and every region has a leader. */
  async start(): Promise<void> {
    this.#lock = await claimDirectories(this.#options.plan)
    if (this.#stopping) throw stoppedEarly()
    this.#pd.start()
    const pd = await this.#connectPd()
    try {
      if (this.#stopping) throw stoppedEarly()
      for (const store of this.#stores) store.start()
      await this.#race(this.#untilReady(pd))
    } finally {
      await pd.close()
    }
    this.#wasReady = true
    this.#writePids()
  }

  stores(): RunningStore[] {
    return this.#options.plan.stores.map((store, i) => ({
      ...store,
      id: this.#storeIds[i]!,
      pid: this.#stores[i]!.pid,
    }))
  }

  get pdPid(): number {
    return this.#pd.pid
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#stores.map((store) => store.stop()))
    await this.#pd.stop()
    await this.#lock?.release()
  }

  /** At once, without their consent. */
  kill(): void {
    this.#stopping = true
    for (const each of [...this.#stores, this.#pd]) each.kill()
  }

  #manage(name: string, args: string[], outputFile: string): ManagedProcess {
    const { restart } = this.#options
    return new ManagedProcess(
      { name, command: process.execPath, args, outputFile, restart },
      { onStart: () => this.#writePids(), onDeath: (death) => this.#onDeath(name, death) },
    )
  }

  #onDeath(name: string, death: Death): void {
    if (this.#stopping) return
    const why = death.lastLine === '' ? '' : `: ${death.lastLine.replace(/^polyraft: /, '')}`
    if (death.failed && !this.#wasReady) {
      this.#fail(
        new PolyraftError('Unavailable', `${name} did not start${why || ` (${death.how})`}`),
      )
      return
    }
    const next = death.restarting ? 'starting it again in a second' : 'it is left stopped'
    this.#options.onNotice(`${name} (pid ${death.pid}) died of ${death.how}${why}; ${next}`)
  }

  /** The work, or the first process that could not start. */
  #race<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#failed])
  }

  #connectPd(): Promise<PdClient> {
    const { pdAddress } = this.#options.plan
    const options = { logger: silentLogger, timeoutMs: PD_START_MS }
    return this.#race(connectPd([pdAddress], options))
  }

  async #untilReady(pd: PdClient): Promise<void> {
    while (!this.#stopping) {
      if ((await this.#storesReady()) && (await allLed(pd))) return
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
    throw stoppedEarly()
  }

  async #storesReady(): Promise<boolean> {
    const replies = await Promise.all(this.#options.plan.stores.map((store) => askStatus(store)))
    replies.forEach((reply, i) => {
      if (reply !== undefined && reply.storeId !== 0) this.#storeIds[i] = reply.storeId
    })
    return replies.every((reply) => reply?.ready === true)
  }

  #writePids(): void {
    writePids(this.#pidsFile, {
      pd: this.#pd.pid,
      stores: this.stores().map(({ id, pid, address, status, dir }) => ({
        id,
        pid,
        address,
        status,
        dir,
      })),
    })
  }
}

function stoppedEarly(): PolyraftError {
  return new PolyraftError('Closed', 'stopped before the cluster was ready')
}

/** Undefined while the store does not answer: it is starting. */
async function askStatus(store: StorePlan): Promise<StatusReply | undefined> {
  try {
    const response = await fetch(`http://${store.status}/status`)
    return (await response.json()) as StatusReply
  } catch (error) {
    if (error instanceof TypeError || error instanceof SyntaxError) return undefined
    throw new PolyraftError('Unavailable', `${store.status}: ${errorMessage(error)}`)
  }
}

async function allLed(pd: PdClient): Promise<boolean> {
  const regions = await pd.scanRegions(EMPTY_BYTES, EMPTY_BYTES, 0)
  return regions.length > 0 && regions.every((info) => info.leader !== undefined)
}
