/** Real processes at rest: nothing moves, and who is needed wakes up in time. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, it } from 'vitest'
import { metricIn } from '../../src/bench/metric.ts'
import { connect } from '../../src/client/connect.ts'
import type { KvClient } from '../../src/client/kv-client.ts'
import { TestCluster } from './harness.ts'

const REGIONS = 8
const RESUME_MS_MAX = 3_000
/** One key in each region at least. */
const KEYS = Array.from({ length: 94 }, (_, i) => `${String.fromCharCode(0x21 + i)}key`)

let cluster: TestCluster | undefined
let kv: KvClient | undefined

afterEach(async () => {
  await kv?.close()
  await cluster?.destroy()
  kv = undefined
  cluster = undefined
})

async function metric(status: string, name: string): Promise<number> {
  const value = metricIn(await (await fetch(`http://${status}/metrics`)).text(), name)
  if (value === undefined) throw new Error(`no metric ${name}`)
  return value
}

async function sum(name: string, stores = cluster!.pids().stores): Promise<number> {
  const values = await Promise.all(stores.map(({ status }) => metric(status, name)))
  return values.reduce((total, value) => total + value, 0)
}

async function startAsleep(): Promise<void> {
  cluster = await TestCluster.start({ regions: REGIONS, restart: false })
  kv = await connect({ pd: [cluster.pd], timeoutMs: 10_000 })
  for (const key of KEYS) await kv.put(key, 'before')
  await expect
    .poll(() => sum('regions_hibernating'), { timeout: 20_000, interval: 100 })
    .toBe(3 * REGIONS)
}

it('regions at rest send nothing, and read and write as ever', async () => {
  await startAsleep()
  const before = await sum('raft_messages_sent')
  await sleep(2_000)
  expect(await sum('raft_messages_sent')).toBe(before)
  for (const key of KEYS) expect((await kv!.get(key))?.toString()).toBe('before')
  await kv!.put(KEYS[0]!, 'after')
  expect((await kv!.get(KEYS[0]!))?.toString()).toBe('after')
})

it.each([0, 1, 2])('kill -9 of store %i finds all asleep: writes go on soon', async (index) => {
  await startAsleep()
  cluster!.killStore(index)
  const killedMs = performance.now()
  await Promise.all(KEYS.map((key) => kv!.put(key, 'after')))
  expect(performance.now() - killedMs).toBeLessThan(RESUME_MS_MAX)
  for (const key of KEYS) expect((await kv!.get(key))?.toString()).toBe('after')
})

it('a store that hangs without closing its links is missed, too', async () => {
  await startAsleep()
  const [hung, ...others] = cluster!.pids().stores
  process.kill(hung!.pid, 'SIGSTOP')
  await expect
    .poll(() => sum('leader_count', others), { timeout: 10_000, interval: 100 })
    .toBe(REGIONS)
})
