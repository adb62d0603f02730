/**
 * What `polyraft up` will run: addresses, directories and arguments of the placement driver and the
 * stores, decided and checked before anything is started.
 *
 *   DIR/pids.json   DIR/pd/   DIR/store-1/ … DIR/store-N/      logs beside the data they are about
 */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { PolyraftError } from '../base/errors.ts'
import { existingStores, replicasOf, storeDir } from './cluster-stores.ts'
import { checkPort } from './listen.ts'
import { WrongUsage } from './wrong-usage.ts'

export interface UpOptions {
  readonly dir: string
  /** Undefined: as many as the directory has, else STORES_DEFAULT. */
  readonly stores: number | undefined
  readonly regions: number
  /** Port 0: free ones, here and below. */
  readonly pdPort: number
  /** Of the first store; the others follow. */
  readonly storePort: number
  readonly statusPort: number
  readonly restart: boolean
}

export interface StorePlan {
  /** 1 … N, as in the directory's name. */
  readonly number: number
  readonly dir: string
  readonly address: string
  readonly status: string
}

export interface ClusterPlan {
  readonly dir: string
  readonly pdDir: string
  readonly pdAddress: string
  readonly regions: number
  readonly replicas: number
  readonly stores: readonly StorePlan[]
  /** There was data before. */
  readonly resumed: boolean
}

const STORES_DEFAULT = 3
const HOST = '127.0.0.1'
const PORT_MAX = 65_535

export async function planCluster(options: UpOptions): Promise<ClusterPlan> {
  const dir = resolve(options.dir)
  const existing = await existingStores(dir, '--dir')
  const count = options.stores ?? (existing === 0 ? STORES_DEFAULT : existing)
  mustNotLeaveStoresOut(dir, count, existing)
  mustNotOverlap(options, count)
  const ports = new PortPicker(dir)
  const pdAddress = `${HOST}:${await ports.pick(options.pdPort, 0, '--pd-port')}`
  const stores: StorePlan[] = []
  for (let i = 0; i < count; i++) {
    stores.push({
      number: i + 1,
      dir: storeDir(dir, i + 1),
      address: `${HOST}:${await ports.pick(options.storePort, i, '--store-port')}`,
      status: `${HOST}:${await ports.pick(options.statusPort, i, '--status-port')}`,
    })
  }
  const pdDir = join(dir, 'pd')
  const replicas = replicasOf(count)
  const { regions } = options
  return { dir, pdDir, pdAddress, regions, replicas, stores, resumed: existing > 0 }
}

/** Regions without their majority would never get a leader. */
function mustNotLeaveStoresOut(dir: string, count: number, existing: number): void {
  if (count >= existing) return
  throw new PolyraftError(
    'InvalidArgument',
    `${dir} holds a cluster of ${existing} stores: start it with --stores ${existing}, or give ` +
      'another --dir for a new one',
  )
}

function mustNotOverlap(options: UpOptions, count: number): void {
  const ranges = [
    { flag: '--pd-port', first: options.pdPort, length: 1 },
    { flag: '--store-port', first: options.storePort, length: count },
    { flag: '--status-port', first: options.statusPort, length: count },
  ].filter(({ first }) => first !== 0)
  for (const a of ranges) {
    if (a.first + a.length - 1 > PORT_MAX) {
      throw new WrongUsage(`${a.flag} ${a.first}: too high for ${count} stores`)
    }
    for (const b of ranges) {
      if (a === b || a.first + a.length <= b.first || b.first + b.length <= a.first) continue
      throw new WrongUsage(
        `the ports of ${a.flag} ${a.first} and ${b.flag} ${b.first} overlap with ${count} stores`,
      )
    }
  }
}

class PortPicker {
  readonly #dir: string
  readonly #taken = new Set<number>()

  constructor(dir: string) {
    this.#dir = dir
  }

  async pick(base: number, offset: number, flag: string): Promise<number> {
    if (base !== 0) return this.#check(base + offset, flag)
    let port = await checkPort({ host: HOST, port: 0 }, flag)
    while (this.#taken.has(port)) port = await checkPort({ host: HOST, port: 0 }, flag)
    this.#taken.add(port)
    return port
  }

  async #check(port: number, flag: string): Promise<number> {
    try {
      return await checkPort({ host: HOST, port }, flag)
    } catch (error) {
      const pids = join(this.#dir, 'pids.json')
      if (!(error instanceof PolyraftError) || error.code !== 'AddressInUse') throw error
      const hint = existsSync(pids) ? `; if it is this cluster, its processes are in ${pids}` : ''
      throw new PolyraftError(error.code, `${error.message}${hint}`, error.data)
    }
  }
}

/** What a command line needs to reach the PD; '' where its default does. */
export function pdFlag({ pdAddress }: Pick<ClusterPlan, 'pdAddress'>): string {
  return pdAddress === '127.0.0.1:2379' ? '' : ` --pd ${pdAddress}`
}

export function pdArguments(plan: ClusterPlan, main: string): string[] {
  return [
    main,
    'pd',
    ...['--data-dir', plan.pdDir],
    ...['--client-addr', plan.pdAddress],
    ...['--initial-stores', String(plan.stores.length)],
    ...['--regions', String(plan.regions)],
    ...['--replicas', String(plan.replicas)],
    ...['--log-file', join(plan.pdDir, 'server.log')],
  ]
}

export function storeArguments(plan: ClusterPlan, store: StorePlan, main: string): string[] {
  return [
    main,
    'server',
    ...['--data-dir', store.dir],
    ...['--addr', store.address],
    ...['--status-addr', store.status],
    ...['--pd-endpoints', plan.pdAddress],
    ...['--log-file', join(store.dir, 'server.log')],
  ]
}
