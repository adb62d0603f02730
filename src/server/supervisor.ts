/**
 * `polyraft up`: a placement driver and its stores as processes of this machine.
 *
 * INVARIANTS
 * - pids.json names the running processes: it is replaced whenever one starts, and when one is left
 *   stopped, as 0: the pid may be another program's by then.
 * - One supervisor a directory, and none while processes of an earlier one still use it.
 * - A start that fails by itself before the cluster was ready once ends the whole start; later, and
 *   after a signal from outside, a process is started again. So is a store of a cluster that is
 *   resumed, while another store may still come up: what its reason asks for takes a PD that runs.
 * - Stores stop before PD, so that they can still tell it.
 */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { builtUrl } from '../base/built-url.ts'
import { EMPTY_BYTES } from '../base/bytes.ts'
import { errorMessage, PolyraftError } from '../base/errors.ts'
import { silentLogger } from '../base/logger.ts'
import type { DirectoryLock } from '../env/port.ts'
import { connectPd } from '../pd/grpc-client.ts'
import type { PdClient } from '../pd/port.ts'
import { isGone } from '../pd/store-condition.ts'
import { claimDirectories } from './cluster-lock.ts'
import { type ClusterPlan, pdArguments, type StorePlan, storeArguments } from './cluster-plan.ts'
import { clusterRemarks } from './cluster-remarks.ts'
import { type Death, ManagedProcess } from './managed-process.ts'
import { readStoreIds, writePids } from './pids-file.ts'

const POLL_MS = 50
const RELEARN_MS = 500
/** A process that lived longer before it died the same way did work in between. */
const REPEATED_MS = 10_000
/** How often a start that takes long says what it waits for. */
const SAY_EVERY_MS = 10_000
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

export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #pd: ManagedProcess
  readonly #stores: ManagedProcess[]
  readonly #storeIds: number[]
  readonly #pidsFile: string
  /** Last of each process. */
  readonly #deaths = new Map<string, { readonly why: string; readonly atMs: number }>()
  /** Stores whose id is being looked at after a start. */
  readonly #relearning = new Set<number>()
  /** Stores that failed before the cluster was ready. */
  readonly #unstartable = new Set<string>()
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
      await this.#race(this.#startStores(pd))
      await this.#race(this.#until(() => this.#isMissing(pd)))
      // A directory that was emptied since belongs to another store now.
      for (let i = 0; i < this.#stores.length; i++) {
        if (await this.#readId(i)) this.#sayIsNew(i)
      }
      await this.#sayRemarks(pd)
    } finally {
      await pd.close()
    }
    this.#wasReady = true
    this.#writePids()
  }

  async #sayRemarks(pd: PdClient): Promise<void> {
    try {
      const remarks = await clusterRemarks(this.#options.plan, this.#storeIds, pd)
      for (const remark of remarks) this.#options.onNotice(remark)
    } catch (error) {
      // The cluster serves without them.
      this.#options.onNotice(`cannot tell how the cluster is: ${errorMessage(error)}`)
    }
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
    if (this.#lock === undefined) return
    this.#writePids()
    await this.#lock.release()
  }

  /** At once, without their consent. */
  kill(): void {
    this.#stopping = true
    for (const each of [...this.#stores, this.#pd]) each.kill()
    // Nobody is left to see them end.
    if (this.#lock !== undefined) this.#writePids(0)
  }

  #manage(name: string, args: string[], outputFile: string): ManagedProcess {
    const { restart } = this.#options
    return new ManagedProcess(
      { name, command: process.execPath, args, outputFile, restart },
      { onStart: () => this.#onStart(name), onDeath: (death) => this.#onDeath(name, death) },
    )
  }

  #onStart(name: string): void {
    this.#writePids()
    const i = this.#stores.findIndex((store) => store.spec.name === name)
    if (this.#wasReady && i >= 0) void this.#relearnId(i)
  }

  /** It may have lost its directory, and come back as a new store. */
  async #relearnId(i: number): Promise<void> {
    if (this.#relearning.has(i)) return
    this.#relearning.add(i)
    const store = this.#options.plan.stores[i]!
    try {
      while (!this.#stopping && !(await isReady(store))) await sleep(RELEARN_MS)
      if (this.#stopping) return
      const isNew = await this.#readId(i)
      this.#writePids()
      if (isNew) this.#sayIsNew(i)
      else this.#options.onNotice(`store ${store.number} (pid ${this.#stores[i]!.pid}) runs again`)
    } catch (error) {
      // It died again; its next start comes here anew.
      this.#options.onNotice(`store ${store.number}: ${errorMessage(error)}`)
    } finally {
      this.#relearning.delete(i)
    }
  }

  #sayIsNew(i: number): void {
    const { number } = this.#options.plan.stores[i]!
    this.#options.onNotice(`store ${number} is a new one, with the id ${this.#storeIds[i]}`)
  }

  /** As the store itself says; true when it is not the one that was known. */
  async #readId(i: number): Promise<boolean> {
    const store = this.#options.plan.stores[i]!
    const answer = await fetch(`http://${store.status}/status`)
    const { storeId } = (await answer.json()) as { storeId: number }
    const isNew = storeId !== this.#storeIds[i]
    this.#storeIds[i] = storeId
    return isNew
  }

  #onDeath(name: string, death: Death): void {
    if (this.#stopping) return
    const why = death.lastLine === '' ? '' : `: ${death.lastLine.replace(/^polyraft: /, '')}`
    if (death.failed && !this.#wasReady && !this.#canWaitFor(name, death)) {
      this.#fail(
        new PolyraftError('Unavailable', `${name} did not start${why || ` (${death.how})`}`),
      )
      return
    }
    if (!death.restarting) this.#writePids()
    const next = death.restarting ? 'starting it again in a second' : 'it is left stopped'
    if (why !== '' && this.#isRepeated(name, why)) return
    const what =
      death.pid === 0 ? 'could not be started' : `(pid ${death.pid}) died of ${death.how}`
    this.#options.onNotice(`${name} ${what}${why}; ${next}`)
  }

  /** A store that could not start, in a cluster that others may hold up. */
  #canWaitFor(name: string, death: Death): boolean {
    this.#unstartable.add(name)
    const isStore = name !== this.#pd.spec.name
    const othersMayStart = this.#unstartable.size < this.#stores.length
    return this.#options.plan.resumed && isStore && death.restarting && othersMayStart
  }

  /** Said once: it is tried every second. */
  #isRepeated(name: string, why: string): boolean {
    const last = this.#deaths.get(name)
    const nowMs = performance.now()
    this.#deaths.set(name, { why, atMs: nowMs })
    return last !== undefined && last.why === why && nowMs - last.atMs < REPEATED_MS
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

  /** New stores one after the other, so that PD numbers them as their directories are. */
  async #startStores(pd: PdClient): Promise<void> {
    for (let i = 0; i < this.#stores.length; i++) {
      if (this.#stopping) throw stoppedEarly()
      this.#stores[i]!.start()
      if (this.#storeIds[i] === 0) await this.#until(() => this.#learnId(pd, i))
    }
  }

  /** What is missing; '' = nothing. */
  async #learnId(pd: PdClient, i: number): Promise<string> {
    const { address, number } = this.#options.plan.stores[i]!
    const stores = await pd.getAllStores()
    const registered = stores.find((meta) => meta.address === address && !isGone(meta))
    if (registered === undefined) return `store ${number} has not registered with PD`
    this.#storeIds[i] = registered.id
    return ''
  }

  async #isMissing(pd: PdClient): Promise<string> {
    for (const store of this.#options.plan.stores) {
      if (!(await isReady(store))) return `store ${store.number} is not ready`
    }
    const regions = await pd.scanRegions(EMPTY_BYTES, EMPTY_BYTES, 0)
    const leaderless = regions.filter((info) => info.leader === undefined).length
    if (leaderless > 0) return `${leaderless} of ${regions.length} regions have no leader`
    return regions.length === 0 ? 'PD has no regions' : ''
  }

  async #until(missing: () => Promise<string>): Promise<void> {
    let sayAtMs = performance.now() + SAY_EVERY_MS
    while (!this.#stopping) {
      const what = await missing()
      if (what === '') return
      if (performance.now() > sayAtMs) {
        this.#options.onNotice(`still waiting: ${what}`)
        sayAtMs += SAY_EVERY_MS
      }
      await sleep(POLL_MS)
    }
    throw stoppedEarly()
  }

  /** `every` stands for the pid of each. */
  #writePids(every?: number): void {
    const stores = this.stores().map(({ id, pid, address, status, dir }) => {
      return { id, pid: every ?? pid, address, status, dir }
    })
    try {
      writePids(this.#pidsFile, { pd: every ?? this.#pd.pid, stores })
    } catch (error) {
      // The cluster does not depend on the file, and someone has to stay to stop it.
      this.#options.onNotice(`cannot write ${this.#pidsFile}: ${errorMessage(error)}`)
    }
  }
}

function stoppedEarly(): PolyraftError {
  return new PolyraftError('Closed', 'stopped before the cluster was ready')
}

async function isReady(store: StorePlan): Promise<boolean> {
  try {
    return (await fetch(`http://${store.status}/ready`)).ok
  } catch (error) {
    // What fetch() throws while nothing listens yet.
    if (error instanceof TypeError) return false
    throw error
  }
}
