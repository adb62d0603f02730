/** Real processes, killed without warning while a snapshot is made, sent, received or installed. */
import { afterEach, expect, it } from 'vitest'
import { silentLogger } from '../../src/base/logger.ts'
import { connect } from '../../src/client/connect.ts'
import type { KvClient } from '../../src/client/kv-client.ts'
import { connectPd } from '../../src/pd/grpc-client.ts'
import { AcknowledgedWrites } from './acknowledged.ts'
import { Processes } from './processes.ts'
import { keysMissingIn } from './stored-values.ts'

/** Logs that forget soon, and snapshots that take a while. */
const SETTINGS = `
[raftstore]
raft-log-gc-tick-interval = "100ms"
raft-log-gc-count-limit = 30
[server]
snap-io-max-bytes-per-sec = "12MiB"
`
const REGIONS = 3
const KEYS = 6000
const VALUE = 'v'.repeat(4000)

let processes: Processes | undefined
let kv: KvClient | undefined
let writes: AcknowledgedWrites | undefined

afterEach(async () => {
  await writes?.stop()
  await kv?.close()
  await processes?.destroy()
})

const keyOf = (i: number): string => `${String.fromCharCode(0x21 + ((i * 37) % 94))}big-${i}`

async function regionIds(): Promise<number[]> {
  const pd = await connectPd([processes!.pd], { logger: silentLogger })
  try {
    const regions = await pd.scanRegions(Buffer.alloc(0), Buffer.alloc(0), 0)
    return regions.map(({ region }) => region.id)
  } finally {
    await pd.close()
  }
}

async function fill(): Promise<void> {
  for (let i = 0; i < KEYS; i += 64) {
    const count = Math.min(64, KEYS - i)
    await Promise.all(Array.from({ length: count }, (_, j) => kv!.put(keyOf(i + j), VALUE)))
  }
}

async function until(what: string, met: () => Promise<boolean>, msMax = 30_000): Promise<void> {
  await expect.poll(met, { timeout: msMax, interval: 15, message: what }).toBe(true)
}

/** Store 3 has applied, of every region, at least what store 1 or 2 had at the call. */
async function caughtUp(ids: readonly number[]): Promise<void> {
  for (const id of ids) {
    const goals = await Promise.all([1, 2].map((number) => processes!.region(number, id)))
    const goal = Math.max(...goals.map((view) => view?.appliedIndex ?? 0))
    await until(`region ${id} applies ${goal}`, async () => {
      const view = await processes!.region(3, id)
      return view !== undefined && view.snapshot === undefined && view.appliedIndex >= goal
    })
  }
}

async function installing(ids: readonly number[]): Promise<boolean> {
  const views = await Promise.all(ids.map((id) => processes!.region(3, id)))
  return views.some((view) => /recording|ingesting|completing/.test(view?.snapshot?.install ?? ''))
}

it('a store catches up by snapshots though receiver and senders are killed on the way', async () => {
  processes = await Processes.start(REGIONS, SETTINGS)
  kv = await connect({ pd: [processes.pd], timeoutMs: 20_000 })
  const ids = await regionIds()
  await kv.put('first', 'write')
  const lasts = await Promise.all(ids.map((id) => processes!.region(3, id)))
  await processes.kill(3)
  await fill()
  await until('logs forget', async () => {
    const views = await Promise.all(ids.map((id) => processes!.region(1, id)))
    return views.every((view, i) => (view?.firstIndex ?? 0) > lasts[i]!.lastIndex + 1)
  })
  writes = new AcknowledgedWrites(kv, 'meanwhile')
  writes.start(4)
  await processes.startStore(3)
  // The receiver, while it receives.
  for (let round = 0; round < 2; round++) {
    await until('receiving', async () => (await processes!.metric(3, 'snapshots_receiving')) > 0)
    await processes.kill(3)
    await processes.startStore(3)
  }
  // The receiver, while it installs (or has just done so: that takes moments).
  await until('installing', async () => {
    return (await installing(ids)) || (await processes!.metric(3, 'snapshots_installed')) > 0
  })
  await processes.kill(3)
  await processes.startStore(3)
  // A sender, while it sends; the others go on, or its successor does.
  for (const number of [1, 2]) {
    if ((await processes.metric(number, 'snapshots_sending')) === 0) continue
    await processes.kill(number)
    await processes.startStore(number)
    break
  }
  await caughtUp(ids)
  expect(await processes.metric(3, 'snapshots_installed')).toBeGreaterThan(0)
  await writes.stop()
  expect(writes.acknowledged.size).toBeGreaterThan(100)
  expect(await writes.missing(kv)).toEqual([])
  await caughtUp(ids)
  await processes.stop(3)
  await mustHold()
}, 150_000)

/** The engine of store 3 alone has every value. */
async function mustHold(): Promise<void> {
  const wanted = new Map(writes!.acknowledged)
  for (let i = 0; i < KEYS; i++) wanted.set(keyOf(i), VALUE)
  expect(await keysMissingIn(processes!.storeDir(3), wanted)).toEqual([])
}
