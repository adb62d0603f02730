/** A store and a placement driver that only pretend, and a place on disk. */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { PdClient, StoreMeta } from '../../src/pd/port.ts'
import { type RawRequest, valueResponse } from '../../src/protocol/raw.ts'
import type { Region } from '../../src/region/region.ts'
import type { RegionStatus, StoreService, StoreStatus } from '../../src/store/port.ts'

export function temporaryDirectory(): string {
  const dir = mkdtempSync(join(tmpdir(), 'polyraft-server-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** Of the loopback interface, taken until the test is over. */
export async function occupiedPort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
  })
  return (server.address() as AddressInfo).port
}

export function region(id: number, start: string, end: string): Region {
  return {
    id,
    startKey: Buffer.from(start),
    endKey: Buffer.from(end),
    epoch: { confVer: 1, version: 2 },
    peers: [
      { id: id * 10 + 1, storeId: 1, role: 0 },
      { id: id * 10 + 2, storeId: 2, role: 1 },
    ],
  }
}

export class FakeStore implements StoreService {
  ready = true
  closed = 0
  readonly executed: RawRequest[] = []
  readonly #regions: readonly Region[]

  constructor(regions: readonly Region[] = [region(7, '', 'm'), region(8, 'm', '')]) {
    this.#regions = regions
  }

  execute(request: RawRequest): void {
    this.executed.push(request)
    request.sink.respond(request, valueResponse(Buffer.from(`value of ${request.key}`)))
  }

  status(): StoreStatus {
    const regionCount = this.#regions.length
    return { clusterId: 5, storeId: 1, ready: this.ready, regionCount, leaderCount: 1 }
  }

  regionStatus(regionId: number): RegionStatus | undefined {
    const found = this.#regions.find((each) => each.id === regionId)
    if (found === undefined) return undefined
    return {
      region: found,
      peerId: found.peers[0]!.id,
      role: 'leader',
      leaderPeerId: found.peers[0]!.id,
      term: 6,
      commitIndex: 20,
      appliedIndex: 19,
      firstIndex: 6,
      lastIndex: 21,
      progress: {},
    }
  }

  regions(): number[] {
    return this.#regions.map((each) => each.id)
  }

  metrics(): Record<string, number> {
    return { store_ready: 1, writes_total: 3, 'engine_size.bytes': 4.5 }
  }

  close(): Promise<void> {
    this.closed++
    return Promise.resolve()
  }
}

export type FakePd = PdClient & { closed: number }

/** Knows no store and can be closed; everything else is not needed here. */
export function fakePd(): FakePd {
  const fake = {
    closed: 0,
    getStore: (): Promise<StoreMeta | undefined> => Promise.resolve(undefined),
    close: (): Promise<void> => {
      fake.closed++
      return Promise.resolve()
    },
  }
  return fake as Partial<FakePd> as FakePd
}
