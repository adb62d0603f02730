/**
 * The embedded engine: a whole cluster, or one store of a larger one, in this process.
 *
 *   openCluster({ dir })                    PD and one store here, or the stores that dir has; nothing
 *                                           listens for clients
 *   openCluster({ dir, stores: 3 })         PD and three stores here, replicated over three directories
 *   openCluster({ dir, addr, pd: [...] })   one store here that joins the cluster of that PD
 *
 * Requests for a region whose leader is in this process take no network.
 */
import { join } from 'node:path'
import { mustNotBeOthers } from '../base/data-dir.ts'
import { PolyraftError } from '../base/errors.ts'
import { eventLoopScheduler, machineClock, machineRandom } from '../base/node-clock.ts'
import { createClient } from '../client/client.ts'
import { openGrpcStoreConnection } from '../client/grpc-store-connection.ts'
import type { KvClient } from '../client/kv-client.ts'
import type { ConnectStore } from '../client/store-links.ts'
import { lockDataDirectory } from '../env/data-dir.ts'
import { keepPoolAwake } from '../env/pool-waker.ts'
import { connectPd } from '../pd/grpc-client.ts'
import { LocalPdClient } from '../pd/local-client.ts'
import { mustBeValidPlan } from '../pd/plan.ts'
import type { PdClient } from '../pd/port.ts'
import { type PdServer, startPd } from '../pd/server.ts'
import { Store } from '../store/store.ts'
import { LoopbackHub } from '../transport/loopback.ts'
import {
  type CheckedOptions,
  type ClusterOptions,
  checkOptions,
  type JoinAddresses,
} from './cluster-options.ts'
import { embeddedStores, makeStoreDirs, replicasOf, storeDir } from './cluster-stores.ts'
import { type LoadedConfig, loadConfig } from './config.ts'
import { STORE_FIELDS, storeSetting } from './config-settings.ts'
import { LocalStoreConnection } from './local-connection.ts'
import { startNode } from './store-process.ts'
import { VERSION } from './version.ts'

export interface Cluster {
  readonly kv: KvClient
  /** host:port of PD, for the command-line tools. */
  readonly pd: string
  /** Ids of the stores in this process. */
  readonly storeIds: readonly number[]
  /** Counters and gauges of a store of this process. */
  metrics(storeId: number): Record<string, number>
  /** Stops everything that was opened, in order. Idempotent. */
  close(): Promise<void>
}

/**
 * Rejects with InvalidArgument or ConfigInvalid before anything is made, with DataDirLocked when the
 * directory is open elsewhere, and with what keeps a store or PD from starting.
 */
export async function openCluster(options: ClusterOptions): Promise<Cluster> {
  const checked = checkOptions(options)
  const { joined } = checked
  return joined === undefined ? openWhole(checked) : joinCluster(checked, joined)
}

type Closer = () => Promise<void>

function wakingPool(): Closer {
  const stop = keepPoolAwake()
  return async () => stop()
}

/** Closes in the reverse order of opening, whatever was opened. */
async function closeAll(closers: Closer[]): Promise<void> {
  for (let close = closers.pop(); close !== undefined; close = closers.pop()) await close()
}

async function openWhole(options: CheckedOptions): Promise<Cluster> {
  const { dir, regions, logger } = options
  const count = await embeddedStores(dir, options.stores)
  const plan = { stores: count, regions, replicas: replicasOf(count) }
  mustBeValidPlan(plan)
  await makeStoreDirs(dir, count)
  const closers: Closer[] = [wakingPool()]
  try {
    const pd = await startPd({
      dir: join(dir, 'pd'),
      clientAddr: '127.0.0.1:0',
      plan,
      lock: lockPd,
      clock: machineClock,
      random: machineRandom,
      logger,
    })
    closers.push(() => pd.close())
    const stores = await openStores(options, count, pd, closers)
    const byId = new Map(stores.map((store) => [store.storeId, store]))
    const client = new LocalPdClient(pd.service, logger)
    closers.push(() => client.close())
    const kv = openClient(options, client, connectStores(byId))
    closers.push(() => kv.close())
    return cluster(kv, pd.address, byId, closers)
  } catch (error) {
    await closeAll(closers)
    throw error
  }
}

async function lockPd(dir: string): Promise<() => Promise<void>> {
  const lock = await lockDataDirectory(dir)
  return async () => lock.release()
}

/** All at once: with a bootstrap plan each waits for the others. */
async function openStores(
  options: CheckedOptions,
  count: number,
  pd: PdServer,
  closers: Closer[],
): Promise<Store[]> {
  const hub = new LoopbackHub(eventLoopScheduler)
  const opening = Array.from({ length: count }, (_, i) => openLocalStore(options, i + 1, hub, pd))
  const outcomes = await Promise.allSettled(opening)
  const stores: Store[] = []
  for (const outcome of outcomes) if (outcome.status === 'fulfilled') stores.push(outcome.value)
  // Together: leaderships have nowhere to go when all of them stop.
  closers.push(async () => {
    await Promise.all(stores.map((store) => store.close()))
  })
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
  return stores
}

function openLocalStore(
  options: CheckedOptions,
  number: number,
  hub: LoopbackHub,
  pd: PdServer,
): Promise<Store> {
  const { config, logger, onFatal } = options
  return Store.open({
    dir: storeDir(options.dir, number),
    config,
    pd: new LocalPdClient(pd.service, logger),
    meta: { address: `local:${number}`, statusAddress: '', labels: {}, version: VERSION },
    createTransport: ({ storeId }, events) =>
      Promise.resolve({ transport: hub.attach(storeId, events), peerAddress: `local:${number}` }),
    logger,
    clock: machineClock,
    random: machineRandom,
    scheduler: eventLoopScheduler,
    onFatal,
  })
}

async function joinCluster(options: CheckedOptions, joined: JoinAddresses): Promise<Cluster> {
  const { dir, logger, onFatal } = options
  mustNotBeOthers(dir, 'store')
  const loaded = joinConfig(options, joined)
  const endpoints = loaded.config.pdEndpoints
  const closers: Closer[] = [wakingPool()]
  try {
    const client = await connectPd(endpoints, { logger })
    closers.push(() => client.close())
    let opened: Store | undefined
    const node = await startNode({
      loaded,
      version: VERSION,
      logger,
      parts: {
        connectPd: () => connectPd(endpoints, { logger }),
        openStore: async (storeOptions) => {
          opened = await Store.open(storeOptions)
          return opened
        },
      },
      onFatal,
    })
    closers.push(() => node.close())
    const byId = new Map([[opened!.storeId, opened!]])
    const kv = openClient(options, client, connectStores(byId))
    closers.push(() => kv.close())
    return cluster(kv, endpoints[0]!, byId, closers)
  } catch (error) {
    await closeAll(closers)
    throw error
  }
}

/** What `polyraft server` would run with, on free ports where none was given. */
function joinConfig(options: CheckedOptions, { addr, pd }: JoinAddresses): LoadedConfig {
  const { config, values } = loadConfig({
    flags: {
      'server.addr': addr,
      'server.status-addr': '127.0.0.1:0',
      'storage.data-dir': options.dir,
      'pd.endpoints': pd.join(','),
    },
  })
  const store = STORE_FIELDS.map(
    (field) => [storeSetting(field).name, options.config[field]] as const,
  )
  return {
    config: { ...config, store: options.config },
    values: new Map([...values, ...store]),
  }
}

/** Stores of this process directly; others, which its PD may have too, over the network. */
function connectStores(byId: ReadonlyMap<number, Store>): ConnectStore {
  return (address, storeId, events) => {
    const store = byId.get(storeId)
    return store === undefined
      ? openGrpcStoreConnection(address, events)
      : new LocalStoreConnection(address, store, machineClock)
  }
}

function openClient(options: CheckedOptions, pd: PdClient, connect: ConnectStore): KvClient {
  return createClient({
    pd,
    connect,
    clock: machineClock,
    random: machineRandom,
    ...options.calls,
  })
}

function cluster(
  kv: KvClient,
  pd: string,
  stores: ReadonlyMap<number, Store>,
  closers: Closer[],
): Cluster {
  let closing: Promise<void> | undefined
  return {
    kv,
    pd,
    storeIds: [...stores.keys()],
    metrics: (storeId) => {
      const store = stores.get(storeId)
      if (store !== undefined) return store.metrics()
      throw new PolyraftError('NotFound', `store ${storeId} is not in this process`)
    },
    close: () => {
      closing ??= closeAll(closers)
      return closing
    },
  }
}
