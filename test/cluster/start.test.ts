/** Starts and stops under bad circumstances: PD away, signals early, directories gone, load. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { freePortBlock } from '../../src/bench/port-block.ts'
import { connect } from '../../src/client/connect.ts'
import { temporaryDirectory } from '../server/fixtures.ts'
import { AcknowledgedWrites } from './acknowledged.ts'
import { polyraft, Running } from './cli.ts'
import { TestCluster } from './harness.ts'

const STOP_MS_MAX = 5_000

let cluster: TestCluster | undefined

afterEach(async () => {
  await cluster?.destroy()
  cluster = undefined
})

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

function server(dir: string, port: number, pd: string): Running {
  return new Running([
    'server',
    ...['--data-dir', dir, '--pd-endpoints', pd],
    ...['--addr', `127.0.0.1:${port}`, '--status-addr', `127.0.0.1:${port + 1}`],
  ])
}

async function readiness(port: number): Promise<number> {
  return (await fetch(`http://127.0.0.1:${port}/ready`)).status
}

it('a store that is started before PD waits for it, and says so', async () => {
  const dir = temporaryDirectory()
  const port = await freePortBlock(3)
  const pd = `127.0.0.1:${port + 2}`
  const store = server(join(dir, 'store'), port, pd)
  await store.until(/waiting for PD/)
  expect(store.output).toContain(`no PD answers at ${pd}: connect ECONNREFUSED`)
  expect(await readiness(port + 1)).toBe(503)
  new Running(['pd', '--data-dir', join(dir, 'pd'), '--client-addr', pd])
  await store.until(/"serving"/)
  expect(await readiness(port + 1)).toBe(200)
  expect((await polyraft(['kv', 'put', 'k', 'v', '--pd', pd])).code).toBe(0)
  expect(await store.stop()).toBe(0)
})

it('SIGTERM stops a store that waits for PD, and its directory and ports are free', async () => {
  const dir = temporaryDirectory()
  const port = await freePortBlock(3)
  for (let round = 0; round < 2; round++) {
    const store = server(dir, port, `127.0.0.1:${port + 2}`)
    // Bound, and without PD.
    await expect.poll(() => readiness(port + 1).catch(() => 0), { timeout: 10_000 }).toBe(503)
    const atMs = performance.now()
    expect(await store.stop()).toBe(0)
    expect(performance.now() - atMs).toBeLessThan(STOP_MS_MAX)
    expect(store.output).toContain('the start was given up')
  }
})

it('SIGTERM stops a store that waits for the other stores of a bootstrap plan', async () => {
  const dir = temporaryDirectory()
  const port = await freePortBlock(3)
  const pd = `127.0.0.1:${port + 2}`
  const driver = new Running([
    ...['pd', '--data-dir', join(dir, 'pd'), '--client-addr', pd],
    ...['--initial-stores', '3'],
  ])
  await driver.until(/PD is serving/)
  const store = server(join(dir, 'store'), port, pd)
  await store.until(/waiting for the other stores/)
  expect(await store.stop()).toBe(0)
  expect(await driver.stop()).toBe(0)
})

it('a cluster whose directory was deleted under it still stops as a whole', async () => {
  cluster = await TestCluster.start({ stores: 1 })
  const { pd, stores } = cluster.pids()
  rmSync(cluster.dir, { recursive: true })
  await cluster.stop()
  expect([pd, stores[0]!.pid].filter(isAlive)).toEqual([])
})

it('a cluster stops under load within seconds, and loses nothing that it acknowledged', async () => {
  cluster = await TestCluster.start({ regions: 4 })
  let kv = await connect({ pd: [cluster.pd], timeoutMs: 2_000 })
  const writes = new AcknowledgedWrites(kv, 'stop')
  writes.start(64)
  await writes.more(3_000)
  const atMs = performance.now()
  expect(await cluster.stop()).toBe(0)
  const tookMs = performance.now() - atMs
  await Promise.all([writes.stop(), kv.close()])
  expect(tookMs).toBeLessThan(STOP_MS_MAX)
  await cluster.up()
  kv = await connect({ pd: [cluster.pd], timeoutMs: 10_000 })
  expect(await writes.missing(kv)).toEqual([])
  await kv.close()
})
