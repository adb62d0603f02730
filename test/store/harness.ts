/**
 * A whole cluster in this process whose stores can be stopped and started one by one: PD, stores
 * with real TCP links between them, and a client that reaches them without a network.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentLogger } from '../../src/base/logger.ts'
import { eventLoopScheduler, machineClock, machineRandom } from '../../src/base/node-clock.ts'
import { beginAttempt } from '../../src/client/attempt.ts'
import { createClient } from '../../src/client/client.ts'
import type { KvClient } from '../../src/client/kv-client.ts'
import type { StoreConnection } from '../../src/client/store-connection.ts'
import type { KvEngine } from '../../src/engine/port.ts'
import { openRocksDb } from '../../src/engine/rocksdb-engine.ts'
import type { DiskProbe } from '../../src/env/disk-space.ts'
import { nodeDiskProbe } from '../../src/env/node-fs.ts'
import { LocalPdClient } from '../../src/pd/local-client.ts'
import type { RegionHeartbeat, RegionOrder } from '../../src/pd/port.ts'
import { type PdServer, startPd } from '../../src/pd/server.ts'
import { notLeader } from '../../src/peer/region-errors.ts'
import { regionErrorResponse } from '../../src/protocol/raw.ts'
import { defaultStoreConfig, type StoreConfig } from '../../src/store/config.ts'
import { Store } from '../../src/store/store.ts'
import type { RaftEnvelope, TransportEvents } from '../../src/transport/port.ts'
import { createTcpTransport } from '../../src/transport/tcp-transport.ts'

/** Logs are given up within moments, so that whoever is away needs a snapshot. */
export const FORGETFUL = {
  raftLogGcTickIntervalMs: 50,
  raftLogGcThreshold: 5,
  raftLogGcCountLimit: 20,
  raftLogReserveMaxTicks: 2,
}

export interface HarnessOptions {
  readonly stores?: number
  readonly regions?: number
  readonly config?: Partial<StoreConfig>
  /** Of the client; default 10 s. */
  readonly timeoutMs?: number
}

export class StoreHarness {
  readonly dir: string
  readonly #options: HarnessOptions
  #pd: PdServer | undefined
  #client: LocalPdClient | undefined
  #kv: KvClient | undefined
  /** By number, from 1: the order of the directories, not the ids. */
  readonly stores = new Map<number, Store>()
  readonly failures: Error[] = []
  /** How PD reaches each store. */
  readonly #orderHandlers = new Map<number, (order: RegionOrder) => void>()
  readonly #events = new Map<number, TransportEvents>()
  /** The last one of each region. */
  readonly heartbeats = new Map<number, RegionHeartbeat>()
  /** What stores are told of their disks, by number; the machine's own where there is none. */
  readonly probes = new Map<number, DiskProbe>()

  static async start(options: HarnessOptions = {}): Promise<StoreHarness> {
    const harness = new StoreHarness(options)
    try {
      await harness.#start()
      return harness
    } catch (error) {
      await harness.close()
      throw error
    }
  }

  private constructor(options: HarnessOptions) {
    this.dir = mkdtempSync(join(tmpdir(), 'polyraft-stores-'))
    this.#options = options
  }

  get kv(): KvClient {
    return this.#kv!
  }

  storeDir(number: number): string {
    return join(this.dir, `store-${number}`)
  }

  async #start(): Promise<void> {
    const { stores = 3, regions = 1 } = this.#options
    this.#pd = await startPd({
      dir: join(this.dir, 'pd'),
      clientAddr: '127.0.0.1:0',
      plan: { stores, regions, replicas: stores },
      lock: async () => async () => {},
      clock: machineClock,
      random: machineRandom,
      logger: silentLogger,
    })
    const numbers = Array.from({ length: stores }, (_, i) => i + 1)
    await Promise.all(numbers.map((number) => this.startStore(number)))
    this.#client = new LocalPdClient(this.#pd.service, silentLogger)
    this.#kv = createClient({
      pd: this.#client,
      connect: (address, storeId) => this.#connection(address, storeId),
      clock: machineClock,
      random: machineRandom,
      timeoutMs: this.#options.timeoutMs ?? 30_000,
      retryWrites: true,
    })
  }

  /** Finds the store anew for each request; one that is stopped leads nothing. */
  #connection(address: string, storeId: number): StoreConnection {
    return {
      address,
      execute: (request) => {
        const store = [...this.stores.values()].find((each) => each.storeId === storeId)
        if (store !== undefined) {
          beginAttempt(request, machineClock.monotonicMs(), 0)
          store.execute(request)
          return
        }
        const refusal = notLeader(request.regionId, undefined)
        setImmediate(() => request.sink.respond(request, regionErrorResponse(refusal)))
      },
      bytesUnderWay: 0,
      giveUp: () => {},
      close: async () => {},
    }
  }

  async startStore(number: number, config: Partial<StoreConfig> = {}): Promise<Store> {
    const pd = this.#scriptedPd(number)
    const store = await Store.open({
      dir: this.storeDir(number),
      config: { ...defaultStoreConfig(), ...this.#options.config, ...config },
      pd,
      meta: { address: `local:${number}`, statusAddress: '', labels: {}, version: 'test' },
      createTransport: async (ids, events) => {
        this.#events.set(number, events)
        const transport = await createTcpTransport({
          ...ids,
          listen: { host: '127.0.0.1', port: 0 },
          resolve: async (storeId) => {
            if (this.cut(storeId, ids.storeId)) throw new Error('the link is cut')
            return (await pd.getStore(storeId))!.peerAddress
          },
          events,
          logger: silentLogger,
          random: machineRandom,
        })
        return { transport, peerAddress: transport.address }
      },
      logger: silentLogger,
      clock: machineClock,
      random: machineRandom,
      scheduler: eventLoopScheduler,
      onFatal: (error) => this.failures.push(error),
      probe: { measure: (dir) => (this.probes.get(number) ?? nodeDiskProbe).measure(dir) },
    })
    this.stores.set(number, store)
    return store
  }

  /** Links that cannot be made: by the ids of both stores. */
  cut: (to: number, from: number) => boolean = () => false

  /** The real PD, of which the test hears reports, and in whose place it may give orders. */
  #scriptedPd(number: number): LocalPdClient {
    const pd = new LocalPdClient(this.#pd!.service, silentLogger)
    const report = pd.regionHeartbeat.bind(pd)
    pd.regionHeartbeat = (heartbeat) => {
      this.heartbeats.set(heartbeat.region.id, heartbeat)
      report(heartbeat)
    }
    pd.onRegionOrder = (handler) => this.#orderHandlers.set(number, handler)
    return pd
  }

  /** An order as PD would give it, to one store. */
  order(number: number, order: Partial<RegionOrder> & Pick<RegionOrder, 'regionId'>): void {
    const none = { regionEpoch: undefined, targetPeer: undefined }
    const kinds = { changePeer: undefined, transferLeader: undefined }
    this.#orderHandlers.get(number)!({ ...none, ...kinds, ...order })
  }

  allocId(): Promise<number> {
    return this.#pd!.service.allocId(1)
  }

  /** The store that leads a region, by number; undefined when none does. */
  leaderOf(regionId: number): number | undefined {
    for (const [number, store] of this.stores) {
      if (store.regionStatus(regionId)?.role === 'leader') return number
    }
    return undefined
  }

  /** A message that comes to a store, from wherever it was all the time. */
  inject(number: number, envelope: RaftEnvelope): void {
    this.#events.get(number)!.onMessages([envelope])
  }

  /** Looks into the engine of a stopped store. */
  async engineOf<T>(number: number, look: (engine: KvEngine) => T): Promise<T> {
    const engine = await openRocksDb({ dir: join(this.storeDir(number), 'kv') })
    try {
      return look(engine)
    } finally {
      await engine.close()
    }
  }

  /** Returns where the log of each region ended. */
  async stopStore(number: number): Promise<Map<number, number>> {
    const store = this.stores.get(number)!
    this.stores.delete(number)
    await store.close()
    // Only now: logs grow while the store closes.
    return new Map(store.regions().map((id) => [id, store.regionStatus(id)!.lastIndex]))
  }

  /** Writes keys [from, to), spread over the key space, many at a time. */
  async write(from: number, to: number, valueBytes = 100): Promise<void> {
    const pending: Promise<void>[] = []
    for (let i = from; i < to; i++) {
      pending.push(this.kv.put(keyOf(i), dataOf(i, valueBytes)))
      if (pending.length === 64) await Promise.all(pending.splice(0))
    }
    await Promise.all(pending)
  }

  /** Regions of which a running store's log still reaches down to these entries. */
  reaching(lasts: ReadonlyMap<number, number>): number[] {
    const stores = [...this.stores.values()]
    return [...lasts.keys()].filter((id) => {
      return stores.some((s) => s.regionStatus(id)!.firstIndex <= lasts.get(id)! + 1)
    })
  }

  /** Regions of which this store has applied less than the furthest one. */
  behind(number: number): number[] {
    const own = this.stores.get(number)!
    return own.regions().filter((id) => {
      const goals = [...this.stores.values()].map((s) => s.regionStatus(id)?.appliedIndex ?? 0)
      return own.regionStatus(id)!.appliedIndex < Math.max(...goals)
    })
  }

  async close(): Promise<void> {
    await this.#kv?.close()
    await Promise.all([...this.stores.values()].map((store) => store.close()))
    await this.#client?.close()
    await this.#pd?.close()
    rmSync(this.dir, { recursive: true, force: true })
  }
}

export function keyOf(i: number): string {
  return `${String.fromCharCode(0x21 + ((i * 37) % 94))}key-${i}`
}

export function dataOf(i: number, bytes: number): string {
  return `${i}:${'v'.repeat(Math.max(0, bytes - 8))}`
}
