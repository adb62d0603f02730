import { beforeEach, describe, expect, test } from 'vitest'
import { GIB } from '../../../src/base/limits.ts'
import type { StoreMeta, StoreStats } from '../../../src/pd/port.ts'
import { findProblems } from '../../../src/server/cli/cluster-view.ts'
import { registerCtl } from '../../../src/server/commands/ctl.ts'
import { FakeCluster, storeMeta } from '../../client/fake-cluster.ts'
import { FakeIo, Sink } from '../cli/fake-io.ts'

let cluster: FakeCluster
let io: FakeIo
/** What differs from a healthy store. */
let changes: Map<number, Partial<StoreMeta>>

beforeEach(() => {
  cluster = new FakeCluster([1, 2, 3]).bootstrap(['m\0'], [1, 2])
  changes = new Map()
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
    available: 1.5 * GIB,
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

  test('as JSON', async () => {
    changes.set(1, { lastHeartbeatMs: 0 })
    await run('store', 'list', '-w', 'json')
    const stores = JSON.parse(io.stdout.text)
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
    const MIB = 1024 * 1024
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
      expect.stringMatching(/store 3 \(store-3:20160\) has not been heard for 31 s/),
      expect.stringMatching(/region 100 has no leader/),
      expect.stringMatching(/region 100: peer 103 is on store 3, which is disconnected/),
      expect.stringMatching(/region 104: peer 107 is on store 3, which is disconnected/),
      'of 2 regions: 1 without a leader',
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
    expect(io.stdout.text).toMatch(/peer 107 is on store 3, which is destroyed/)
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
    const settings = { replicas: 3, maxStoreDownMs: 60_000 }
    const infos = cluster.infos()
    const right = infos[1]!
    const peer = right.region.peers[0]!
    const regions = [{ ...right, downPeers: [{ peer, downSeconds: 5 }] }]
    expect(findProblems({ stores, regions, settings, nowMs: Date.now() })).toEqual([
      'region 104: peer 105 has been silent for 5 s',
      'no region covers the keys from the beginning to "m\\x00"',
    ])
    expect(findProblems({ stores, regions: [infos[0]!], settings, nowMs: Date.now() })).toEqual([
      'no region covers the keys from "m\\x00" on',
    ])
  })
})
