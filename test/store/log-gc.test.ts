/** Logs of a running cluster get shorter, and a store starts again from what is left. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { type Cluster, openCluster } from '../../src/server/open-cluster.ts'

let dir: string
let cluster: Cluster | undefined

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'polyraft-log-gc-'))
})

afterEach(async () => {
  await cluster?.close()
  rmSync(dir, { recursive: true, force: true })
})

async function open(stores: 1 | 3): Promise<Cluster> {
  cluster = await openCluster({
    dir,
    stores,
    timeoutMs: 10_000,
    config: { raftLogGcTickIntervalMs: 50, raftLogGcThreshold: 5, raftLogReserveMaxTicks: 2 },
  })
  return cluster
}

async function write(from: number, to: number): Promise<void> {
  for (let i = from; i < to; i++) await cluster!.kv.put(`key-${i}`, `value-${i}`)
}

const entriesOf = (storeId: number): number => cluster!.metrics(storeId).raftlog_entries!

it.each([1, 3] as const)('compacts the logs of %i store(s) and starts again', async (stores) => {
  await open(stores)
  await write(0, 200)
  for (const storeId of cluster!.storeIds) {
    await expect.poll(() => entriesOf(storeId), { timeout: 10_000 }).toBeLessThan(20)
    expect(cluster!.metrics(storeId).compacted_entries).toBeGreaterThan(150)
  }
  await cluster!.close()
  await open(stores)
  for (let i = 0; i < 200; i++) {
    expect((await cluster!.kv.get(`key-${i}`))?.toString()).toBe(`value-${i}`)
  }
  await write(200, 230)
  for (const storeId of cluster!.storeIds) {
    await expect.poll(() => entriesOf(storeId), { timeout: 10_000 }).toBeLessThan(20)
  }
})
