import { beforeEach, describe, expect, test } from 'vitest'
import { GIB, MIB } from '../../../src/base/limits.ts'
import type { StoreMeta, StoreStats } from '../../../src/pd/port.ts'
import { findProblems } from '../../../src/server/cli/cluster-problems.ts'
import { registerCtl } from '../../../src/server/commands/ctl.ts'
import { FakeCluster, storeMeta } from '../../client/fake-cluster.ts'
import { FakeIo, Sink } from '../cli/fake-io.ts'

let cluster: FakeCluster
let io: FakeIo
/** What differs from a healthy store. */
let changes: Map<number, Partial<StoreMeta>>
/** Disk space of stores that are short of it. */
let freeBytes: Map<number, number>

beforeEach(() => {
  cluster = new FakeCluster([1, 2, 3]).bootstrap(['m\0'], [1, 2])
  changes = new Map()
  freeBytes = new Map()
  io = new FakeIo(cluster)
  io.openPd = async () => {
    const pd = cluster.pd()
    return {
      ...pd,
      getStoreStats: async (storeId) => (storeId === 2 ? undefined : statsOf(storeId)),
      getAllStores: async () =>
        [...cluster.addresses].map(([id, address]) => ({
          ...storeMeta(id, address),
          statusAddress: `status-${id}:20180`,
          labels: { host: `h${id}` },
          ...changes.get(id),
        })),
    }
  }
})

function statsOf(storeId: number): StoreStats {
  return {
    storeId,
    capacity: 252 * GIB,
    available: freeBytes.get(storeId) ?? 1.5 * GIB,
    usedSize: 0,
    regionCount: 2,
    startTime: 0,
    bytesWritten: 0,
    keysWritten: 0,
    bytesRead: 0,
    keysRead: 0,
    isBusy: false,
    intervalStartS: 0,
    intervalEndS: 0,
  }
}

function run(...args: string[]): Promise<FakeIo> {
  return io.run(registerCtl, ['ctl', ...args])
}

describe('store list', () => {
  test('as a table', async () => {
    changes.set(3, { lastHeartbeatMs: Date.now() - 60_000 })
    await run('store', 'list')
    const [head, ...rows] = io.stdout.lines.map((line) => line.trim().split(/ {2,}/))
    expect(head?.slice(0, 4)).toEqual(['ID', 'ADDRESS', 'STATUS', 'STATE'])
    expect(rows.map((row) => [row[0], row[1], row[3], ...row.slice(5, 9)])).toEqual([
      ['1', 'store-1:20160', 'up', '2', '1', '252GiB', '1.50GiB'],
      ['2', 'store-2:20160', 'up', '2', '1', '-', '-'],
      ['3', 'store-3:20160', 'disconnected', '2', '0', '252GiB', '1.50GiB'],
    ])
  })

  test('says whose disk is full', async () => {
    freeBytes.set(1, 300 * MIB).set(3, 200 * MIB)
    await run('store', 'list')
    expect(io.stdout.lines[1]).toContain('  up, disk almost full  ')
    expect(io.stdout.lines[3]).toContain('  up, disk full  ')
    await run('store', 'show', '1')
    expect(io.stdout.text).toMatch(/^state +up, disk almost full$/m)
  })

  test('as JSON', async () => {
    changes.set(1, { lastHeartbeatMs: 0 })
    freeBytes.set(3, 300 * MIB)
    await run('store', 'list', '-w', 'json')
    const stores = JSON.parse(io.stdout.text)
    expect(stores.map((store: { diskState: unknown }) => store.diskState)).toEqual([
      'normal',
      null,
      'almost-full',
    ])
    expect(stores).toHaveLength(3)
    expect(stores[0]).toMatchObject({ id: 1, condition: 'down', heartbeatAgeSeconds: null })
    expect(stores[0]).toMatchObject({ capacity: 252 * GIB, available: 1.5 * GIB })
    expect(stores[1]).toMatchObject({ capacity: null, available: null })
  })
})

describe('region', () => {
  test('list', async () => {
    await run('region', 'list')
    expect(io.stdout.lines).toHaveLength(3)
    expect(io.stdout.lines[1]).toMatch(/100 +- +m\\x00 +store 1 +1,2,3 +1\/1/)
  })

  test('list --limit', async () => {
    await run('region', 'list', '--limit', '1', '-w', 'json')
    expect(JSON.parse(io.stdout.text)).toMatchObject([{ id: 100, endKeyHex: '6d00' }])
  })

  test('list: the role of a peer is the same word everywhere in JSON', async () => {
    const [first, second] = cluster.infos()
    const [a, b, c] = first!.region.peers
    const downPeers = [{ peer: b!, downSeconds: 5 }]
    cluster.pdFrozen = [
      { ...first!, downPeers, pendingPeers: [c!] },
      { ...second!, leader: undefined },
    ]
    await run('region', 'list', '-w', 'json')
    const voter = (peer: typeof a) => ({ ...peer, role: 'voter' })
    expect(JSON.parse(io.stdout.text)).toMatchObject([
      {
        leader: voter(a),
        peers: [voter(a), voter(b), voter(c)],
        downPeers: [{ peer: voter(b), downSeconds: 5 }],
        pendingPeers: [voter(c)],
      },
      { leader: null },
    ])
  })

  test('show: what each replica says, and the progress its leader sees', async () => {
    io.pages.set('http://status-1:20180/region/100', {
      role: 'leader',
      term: 7,
      commitIndex: 42,
      appliedIndex: 41,
      firstIndex: 6,
      lastIndex: 43,
      progress: { 102: { match: 40, next: 44, state: 'replicate' } },
    })
    await run('region', 'show', '100')
    expect(io.stdout.text).toMatch(/101 +1 +store-1:20160 +voter +leader +7 +42 +41 +6 +43/)
    expect(io.stdout.text).toMatch(/102 +2 +store-2:20160 +voter +\? .*answered 404/)
    expect(io.stdout.text).toMatch(/102 +40 +44 +replicate/)
    expect(io.exitCode).toBe(0)
  })

  test('show: how far snapshots are', async () => {
    const progress = [
      { phase: 'send', storeId: 3, bytes: 12 * MIB, bytesTotal: 256 * MIB },
      { phase: 'build', bytes: 0, bytesTotal: 0 },
    ]
    io.pages.set('http://status-1:20180/region/100', {
      snapshot: { source: 'ready', install: 'none', progress },
    })
    // A store of an earlier version.
    io.pages.set('http://status-3:20180/region/100', {
      snapshot: { source: 'idle', install: 'ingesting' },
    })
    await run('region', 'show', '100')
    expect(io.stdout.text).toContain(
      'snapshot for others: ready, send to store 3: 12.0 of 256.0 MiB, build',
    )
    expect(io.stdout.text).toContain('snapshot of its own: ingesting')
  })

  test('by-key', async () => {
    await run('region', 'by-key', '7a', '--hex', '-w', 'json')
    const region = JSON.parse(io.stdout.text)
    expect(region).toMatchObject({ startKeyHex: '6d00', leader: { storeId: 2 } })
    expect(region.replicas).toHaveLength(3)
  })

  test('by-key, of what is no key', async () => {
    io.openPd = () => Promise.reject(new Error('not to be asked'))
    await run('region', 'by-key', 'zz', '--hex')
    expect([io.exitCode, io.stderr.lines]).toEqual([2, ['polyraft: "zz" is not hex']])
  })

  test('one that is not there', async () => {
    await run('region', 'show', '9999')
    expect(io.stderr.lines).toEqual([expect.stringMatching(/no region for id 9999/)])
    expect(io.exitCode).toBe(1)
  })

  test.each([
    [['region', 'split', '100']],
    [['store', 'delete', 'x']],
    [['store', 'show']],
    [['operator', 'add', 'remove-peer', '1']],
    [['operator', 'add', 'transfer-peer', '1', '2']],
    [['region', 'show', 'abc']],
    [['store', 'list', '-w', 'yaml']],
    [['operator']],
  ])('usage error: %j', async (args) => {
    await expect(run(...args)).rejects.toMatchObject({ name: 'CommanderError' })
  })
})

describe('health', () => {
  test('all is well', async () => {
    await run('health')
    expect([io.exitCode, io.stdout.text]).toEqual([0, 'healthy: 2 regions on 3 stores\n'])
  })

  test('a replica that is catching up is there', async () => {
    const info = cluster.infos()[0]!
    cluster.pdFrozen = [{ ...info, pendingPeers: [info.region.peers[1]!] }, cluster.infos()[1]!]
    await run('health')
    expect([io.exitCode, io.stdout.text]).toEqual([
      0,
      'healthy: 2 regions on 3 stores, 1 replica catching up\n',
    ])
  })

  test('one line for each problem', async () => {
    cluster.lead('a', undefined)
    changes.set(3, { lastHeartbeatMs: Date.now() - 31_000 })
    await run('health')
    expect(io.exitCode).toBe(1)
    expect(io.stdout.lines).toEqual([
      'unhealthy: store 3 (store-3:20160) has not been heard for 31 s; 2 regions have a replica on it',
      'unhealthy: region 100 has no leader',
      'of 2 regions: 1 without a leader, 2 with a replica down',
    ])
  })

  test('a minority of the stores: nothing has a quorum, and each silent store is told once', async () => {
    changes.set(2, { lastHeartbeatMs: Date.now() - 31_000 })
    changes.set(3, { lastHeartbeatMs: Date.now() - 3_600_000 })
    const silent = cluster.infos()[0]!.region.peers[2]!
    cluster.pdFrozen = cluster
      .infos()
      .map((info) => ({ ...info, downPeers: [{ peer: silent, downSeconds: 31 }] }))
    await run('health')
    expect(io.exitCode).toBe(1)
    expect(io.stdout.lines).toEqual([
      'unhealthy: 2 regions have no quorum, so no reads and no writes: most of their replicas are ' +
        'on stores that are silent (100, 104)',
      'unhealthy: store 2 (store-2:20160) has not been heard for 31 s; 2 regions have a replica on it',
      'unhealthy: store 3 (store-3:20160) has not been heard for 3600 s; 2 regions have a replica on it',
      'of 2 regions: 2 without a quorum, 2 with a replica down',
    ])
  })

  test('while voters are exchanged, those before and those after have to be there', async () => {
    cluster.addresses.set(4, 'store-4:20160')
    changes.set(3, { lastHeartbeatMs: Date.now() - 31_000 })
    changes.set(4, { lastHeartbeatMs: Date.now() - 31_000 })
    const [first, second] = cluster.infos()
    const [a, b, c] = first!.region.peers
    // Before: a and c. After: a, b and d.
    const peers = [a!, { ...b!, role: 2 as const }, { ...c!, role: 3 as const }]
    const d = { id: 108, storeId: 4, role: 2 as const }
    cluster.pdFrozen = [{ ...first!, region: { ...first!.region, peers: [...peers, d] } }, second!]
    await run('health')
    expect(io.stdout.lines[0]).toMatch(/^unhealthy: 1 region has no quorum.* its .*\(100\)$/)
  })

  test('a store that takes no writes for want of space', async () => {
    freeBytes.set(1, 300 * MIB).set(3, 200 * MIB)
    await run('health')
    expect([io.exitCode, io.stdout.lines]).toEqual([
      1,
      [
        'unhealthy: the disk of store 1 (store-1:20160) is almost full: it takes deletes, but no writes',
        'unhealthy: the disk of store 3 (store-3:20160) is full: it takes neither writes nor deletes',
        'of 2 regions: all have a leader and their replicas',
      ],
    ])
  })

  test('a silent store that nothing is on is no trouble', async () => {
    cluster.pdFrozen = cluster.infos()
    cluster.addresses.set(9, 'store-9:20160')
    changes.set(9, { lastHeartbeatMs: Date.now() - 31_000 })
    await run('health')
    expect([io.exitCode, io.stdout.text]).toEqual([
      0,
      'healthy: 2 regions on 4 stores, 1 empty store silent\n',
    ])
  })

  test('counts what is missing, down, catching up and learning', async () => {
    const [first, second] = cluster.infos()
    const [a, b] = first!.region.peers
    const learner = { ...a!, role: 1 as const }
    cluster.pdFrozen = [
      { ...first!, region: { ...first!.region, peers: [learner, b!] }, pendingPeers: [learner] },
      { ...second!, leader: undefined },
    ]
    changes.set(2, { state: 1 })
    changes.set(3, { state: 1, physicallyDestroyed: true })
    await run('health', '-w', 'json')
    expect(io.exitCode).toBe(1)
    expect(JSON.parse(io.stdout.text)).toMatchObject({
      healthy: false,
      noLeader: 1,
      missingPeers: 1,
      downPeers: 1,
      pendingPeers: 1,
      learners: 1,
      leavingPeers: 2,
    })
    expect(io.stdout.text).toMatch(/region 100 has 1 of 3 replicas/)
    expect(io.stdout.text).toMatch(
      /store 3 \(store-3:20160\) is destroyed; 1 region has a replica on it/,
    )
  })

  test('a store that is emptied, with and without somewhere to go', async () => {
    changes.set(3, { state: 1 })
    await run('health')
    expect([io.exitCode, io.stdout.lines[0]]).toEqual([
      1,
      'unhealthy: store 3 (store-3:20160) is being removed, but 2 regions on it cannot move ' +
        'anywhere: add a store, or lower polyraft ctl config set replicas',
    ])
    io.stdout = new Sink()
    io.setExitCode(0)
    cluster.pdFrozen = cluster.infos()
    cluster.addresses.set(9, 'store-9:20160')
    await run('health')
    expect([io.exitCode, io.stdout.text]).toEqual([
      0,
      'healthy: 2 regions on 4 stores, 2 regions leaving a store\n',
    ])
  })

  test('as JSON', async () => {
    cluster.regions.clear()
    await run('health', '-w', 'json')
    expect(io.exitCode).toBe(1)
    expect(JSON.parse(io.stdout.text)).toMatchObject({ healthy: false, stores: 3, regions: 0 })
  })

  test('gaps and silent peers', () => {
    const stores = [1, 2, 3].map((id) => storeMeta(id, 'a'))
    const stats = new Map()
    const settings = { replicas: 3, maxStoreDownMs: 60_000 }
    const infos = cluster.infos()
    const right = infos[1]!
    const peer = right.region.peers[0]!
    const regions = [{ ...right, downPeers: [{ peer, downSeconds: 5 }] }]
    expect(findProblems({ stores, stats, regions, settings, nowMs: Date.now() })).toEqual([
      'region 104: peer 105 has been silent for 5 s',
      'no region covers the keys from the beginning to "m\\x00"',
    ])
    expect(
      findProblems({ stores, stats, regions: [infos[0]!], settings, nowMs: Date.now() }),
    ).toEqual(['no region covers the keys from "m\\x00" on'])
  })
})
