/** A store's identity and first regions, with the power failing in between. */
import { beforeEach, describe, expect, it } from 'vitest'
import { PolyraftError } from '../../src/base/errors.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { type MemoryEngine, openMemoryEngine } from '../../src/engine/memory-engine.ts'
import type { PdClient, RegionInfo } from '../../src/pd/port.ts'
import type { Region } from '../../src/region/region.ts'
import { RegionStateKind } from '../../src/region/state.ts'
import {
  adoptRegions,
  type BootstrapPorts,
  loadIdent,
  loadRegionStates,
  readIdent,
  register,
} from '../../src/store/bootstrap.ts'
import { region, storeMeta } from '../pd/fixtures.ts'

const CLUSTER_ID = 77

let engine: MemoryEngine
/** What PD was asked to do, in order. */
let calls: string[]
let offered: Region[]
let lastId: number
let bootstrapped: boolean
/** Of PD's answer to an offer; undefined: it takes it. */
let refusal: PolyraftError | undefined
let planned: (Region[] | undefined)[]
let stopping: boolean
let logsOf: number[][]

beforeEach(() => {
  engine = openMemoryEngine()
  calls = []
  offered = []
  lastId = 10
  bootstrapped = false
  refusal = undefined
  planned = []
  stopping = false
  logsOf = []
})

const pd: Partial<PdClient> = {
  clusterId: async () => CLUSTER_ID,
  allocId: async (count) => {
    lastId += count
    return lastId
  },
  putStore: async () => {
    calls.push('putStore')
    if (!bootstrapped) throw new PolyraftError('NotBootstrapped', 'PD waits')
  },
  bootstrap: async (_store, first) => {
    calls.push('bootstrap')
    offered.push(first)
    if (refusal?.code === 'AlreadyBootstrapped') bootstrapped = true
    if (refusal !== undefined) throw refusal
    bootstrapped = true
  },
  getRegionById: async (id) => {
    const found = refusal === undefined ? offered.find((one) => one.id === id) : undefined
    const none = { leader: undefined, downPeers: [], pendingPeers: [] }
    return found && ({ region: found, ...none } satisfies RegionInfo)
  },
  initialRegions: async () => planned.shift(),
}

function ports(): BootstrapPorts {
  return {
    engine,
    pd: pd as PdClient,
    logger: silentLogger,
    sleep: async (ms) => void calls.push(`sleep ${ms}`),
    isStopping: () => stopping,
    createLogs: async (ids) => {
      logsOf.push([...ids])
      expect(loadRegionStates(engine), 'logs come before the regions').toEqual([])
    },
  }
}

const meta = (): ReturnType<typeof storeMeta> => storeMeta(11)

async function join(): Promise<Region[]> {
  const ident = await loadIdent(ports())
  await register(ports(), meta(), ident)
  return adoptRegions(ports(), ident)
}

/** The next process finds what was durable. */
function powerFails(): void {
  engine.crash()
  engine = engine.reopen()
}

describe('an identity', () => {
  it('is durable before it is used, and given once', async () => {
    const ident = await loadIdent(ports())
    expect(ident).toEqual({ clusterId: CLUSTER_ID, storeId: 11, adopted: false })
    powerFails()
    expect(await loadIdent(ports())).toEqual(ident)
    expect(lastId).toBe(11)
  })

  it('of another cluster is refused, with both ids', async () => {
    await loadIdent(ports())
    const other = { ...pd, clusterId: async () => 78 } as PdClient
    await expect(loadIdent({ ...ports(), pd: other })).rejects.toMatchObject({
      code: 'ClusterIdMismatch',
      data: { dataDirClusterId: CLUSTER_ID, pdClusterId: 78 },
    })
  })
})

describe('the first region', () => {
  it('is offered by the store that PD waits for, and is its own then', async () => {
    const [first, ...others] = await join()
    expect(others).toEqual([])
    expect(calls).toEqual(['putStore', 'bootstrap', 'putStore'])
    expect(first).toMatchObject({
      id: 12,
      startKey: Buffer.alloc(0),
      endKey: Buffer.alloc(0),
      epoch: { confVer: 1, version: 1 },
      peers: [{ id: 13, storeId: 11, role: 0 }],
    })
    expect(logsOf).toEqual([[12]])
    powerFails()
    expect(loadRegionStates(engine)).toEqual([{ kind: RegionStateKind.Normal, region: first }])
    expect(readIdent(engine)?.adopted).toBe(true)
  })

  it('is offered again as it was, when power failed before the answer came', async () => {
    refusal = new PolyraftError('Unavailable', 'the answer got lost')
    await expect(join()).rejects.toBe(refusal)
    powerFails()
    refusal = undefined
    const regions = await join()
    expect(offered).toHaveLength(2)
    expect(offered[1]).toEqual(offered[0])
    expect(regions).toEqual([offered[0]])
    expect(lastId).toBe(13)
  })

  it('of another store leaves this one none', async () => {
    refusal = new PolyraftError('AlreadyBootstrapped', 'too late')
    expect(await join()).toEqual([])
    expect(calls).toEqual(['putStore', 'bootstrap', 'putStore'])
    powerFails()
    expect(loadRegionStates(engine)).toEqual([])
    expect(readIdent(engine)?.adopted).toBe(true)
  })

  it('is not offered to a PD that has forgotten the cluster', async () => {
    await join()
    bootstrapped = false
    calls = []
    await expect(register(ports(), meta(), readIdent(engine)!)).rejects.toMatchObject({
      code: 'ClusterIdMismatch',
    })
    expect(calls).toEqual(['putStore'])
  })
})

describe('the regions of a plan', () => {
  const own = (): Region[] => [region(1, '', 'k', [1, 1], [11]), region(2, 'k', '', [1, 1], [11])]

  beforeEach(() => {
    bootstrapped = true
  })

  it('are waited for, and taken over together', async () => {
    planned = [undefined, undefined, own()]
    expect(await join()).toEqual(own())
    expect(calls).toEqual(['putStore', 'sleep 100', 'sleep 100'])
    expect(logsOf).toEqual([[1, 2]])
    powerFails()
    expect(loadRegionStates(engine).map((state) => state.region)).toEqual(own())
  })

  it('are taken over at the next start, when power failed before', async () => {
    planned = [own(), own()]
    const fails = new Error('the power failed')
    const ident = await loadIdent(ports())
    const failing = { ...ports(), createLogs: () => Promise.reject(fails) }
    await expect(adoptRegions(failing, ident)).rejects.toBe(fails)
    powerFails()
    expect(loadRegionStates(engine)).toEqual([])
    expect(readIdent(engine)?.adopted).toBe(false)
    expect(await join()).toEqual(own())
  })

  it('are not waited for by a store that stops', async () => {
    stopping = true
    planned = [undefined]
    await expect(join()).rejects.toMatchObject({ code: 'Closed' })
  })
})
