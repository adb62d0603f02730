/** Shared by the tests of the placement driver. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Clock, seededRandom } from '../../src/base/clock.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { PdCore, type PdCoreOptions } from '../../src/pd/core.ts'
import type { RegionHeartbeat, StoreMeta, StoreStats } from '../../src/pd/port.ts'
import { type PdOptions, type PdServer, startPd } from '../../src/pd/server.ts'
import { MemoryPdStorage } from '../../src/pd/storage.ts'
import type { Region } from '../../src/region/region.ts'

export class ManualClock implements Clock {
  now = 1_800_000_000_000

  monotonicMs(): number {
    return this.now
  }

  wallMs(): number {
    return this.now
  }
}

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
}

export async function temporaryDir(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'polyraft-pd-'))
}

export async function removeDir(dir: string): Promise<void> {
  await rm(dir, { recursive: true, force: true })
}

export function openCore(options: Partial<PdCoreOptions> = {}): Promise<PdCore> {
  return PdCore.open({
    storage: new MemoryPdStorage(),
    clock: new ManualClock(),
    random: seededRandom(7),
    logger: silentLogger,
    ...options,
  })
}

export function startTestPd(dir: string, options: Partial<PdOptions> = {}): Promise<PdServer> {
  return startPd({
    dir,
    clientAddr: '127.0.0.1:0',
    clock: systemClock,
    random: seededRandom(Date.now() % 100_000),
    logger: silentLogger,
    ...options,
  })
}

export function storeMeta(id: number, overrides: Partial<StoreMeta> = {}): StoreMeta {
  return {
    id,
    address: `127.0.0.1:${20_000 + id}`,
    peerAddress: `127.0.0.1:${21_000 + id}`,
    statusAddress: `127.0.0.1:${22_000 + id}`,
    labels: { host: `h${id}` },
    version: '0.1.0',
    state: 0,
    startTimestamp: 1_800_000_000,
    lastHeartbeatMs: 0,
    physicallyDestroyed: false,
    deployPath: '/srv',
    ...overrides,
  }
}

export function region(
  id: number,
  start: string,
  end: string,
  [confVer, version]: readonly [number, number] = [1, 1],
  storeIds: readonly number[] = [1],
): Region {
  return {
    id,
    startKey: Buffer.from(start),
    endKey: Buffer.from(end),
    epoch: { confVer, version },
    peers: storeIds.map((storeId, i) => ({ id: id * 100 + i, storeId, role: 0 })),
  }
}

export function heartbeat(of: Region, term = 6, leaderIndex = 0): RegionHeartbeat {
  return {
    region: of,
    leader: of.peers[leaderIndex]!,
    term,
    downPeers: [],
    pendingPeers: [],
    bytesWritten: 1,
    keysWritten: 2,
    bytesRead: 3,
    keysRead: 4,
    approximateSize: 5,
    approximateKeys: 6,
    intervalStartS: 100,
    intervalEndS: 160,
  }
}

export function storeStats(storeId: number): StoreStats {
  return {
    storeId,
    capacity: 1 << 30,
    available: 1 << 29,
    usedSize: 1 << 28,
    regionCount: 3,
    startTime: 1_800_000_000,
    bytesWritten: 10,
    keysWritten: 11,
    bytesRead: 12,
    keysRead: 13,
    isBusy: false,
    intervalStartS: 100,
    intervalEndS: 110,
  }
}

/** Bootstraps the classic way, with ids from the allocator; gives the store and region ids. */
export async function bootstrapClassic(core: PdCore): Promise<{ store: StoreMeta; first: Region }> {
  const last = await core.allocId(3)
  const store = storeMeta(last - 2)
  const first: Region = {
    ...region(last - 1, '', ''),
    peers: [{ id: last, storeId: store.id, role: 0 }],
  }
  await core.bootstrap(store, first)
  return { store, first }
}
