/** The embedded engine: whole clusters in this process, joined ones, and how they end. */
import { spawn } from 'node:child_process'
import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { builtUrl } from '../../src/base/built-url.ts'
import type { ClusterOptions } from '../../src/server/cluster-options.ts'
import { type Cluster, openCluster } from '../../src/server/open-cluster.ts'
import { Running } from '../cluster/cli.ts'
import { startDriver } from './driver.ts'
import { temporaryDirectory } from './fixtures.ts'

async function open(options: ClusterOptions): Promise<Cluster> {
  const cluster = await openCluster({ timeoutMs: 10_000, ...options })
  onTestFinished(() => cluster.close())
  return cluster
}

async function fill(cluster: Cluster, name: string): Promise<void> {
  const rows = Array.from({ length: 500 }, (_, i) => [`${i}-${name}`, `value ${i}`] as const)
  await cluster.kv.batchPut(rows)
}

async function count(cluster: Cluster): Promise<number> {
  let rows = 0
  for await (const page of cluster.kv.scan().pages()) rows += page.length
  return rows
}

describe.each([1, 3] as const)('a whole cluster of %i store(s)', (stores) => {
  it('keeps its rows from one opening to the next', async () => {
    const dir = temporaryDirectory()
    const first = await open({ dir, stores, regions: 3 })
    expect(first.storeIds).toHaveLength(stores)
    await fill(first, 'a')
    await Promise.all([first.close(), first.close()])
    await expect(first.kv.get('k')).rejects.toMatchObject({ code: 'Closed' })

    const second = await open({ dir, stores })
    expect(second.storeIds).toEqual(first.storeIds)
    expect(await count(second)).toBe(500)
    await fill(second, 'b')
    expect(await count(second)).toBe(1000)
    for (const id of second.storeIds) expect(second.metrics(id).store_ready).toBe(1)
    expect(() => second.metrics(99)).toThrow('store 99 is not in this process')
  })

  it('is opened once at a time', async () => {
    const dir = temporaryDirectory()
    const first = await open({ dir, stores })
    await expect(openCluster({ dir, stores })).rejects.toMatchObject({ code: 'DataDirLocked' })
    await first.kv.put('k', 'v')
    await first.close()
    const again = await open({ dir, stores })
    expect((await again.kv.get('k'))?.toString()).toBe('v')
  })
})

it('the stores that a directory has are opened without being counted', async () => {
  const dir = temporaryDirectory()
  const first = await open({ dir, stores: 3, regions: 3 })
  await fill(first, 'a')
  await first.close()
  await expect(openCluster({ dir, stores: 1 })).rejects.toMatchObject({ code: 'InvalidArgument' })
  const second = await open({ dir })
  expect(second.storeIds).toEqual(first.storeIds)
  expect(await count(second)).toBe(500)
})

it('a store that PD has besides those of the process is out of reach, and no crash', async () => {
  const dir = temporaryDirectory()
  const first = await open({ dir, stores: 3 })
  await first.close()
  rmSync(join(dir, 'store-3'), { recursive: true })
  rmSync(join(dir, 'store-2'), { recursive: true })
  const rest = await open({ dir, timeoutMs: 500 })
  await expect(rest.kv.get('k')).rejects.toMatchObject({ code: 'Timeout' })
})

it('rows larger than one scan answer come out again', async () => {
  const cluster = await open({ dir: temporaryDirectory() })
  const value = Buffer.alloc(3 * 1024 * 1024, 'x')
  for (let i = 0; i < 8; i++) await cluster.kv.put(`k${i}`, value)
  for (const reverse of [false, true]) {
    let rows = 0
    for await (const [, got] of cluster.kv.scan({ reverse })) {
      expect(got.equals(value)).toBe(true)
      rows++
    }
    expect(rows).toBe(8)
  }
})

it('options that are wrong are refused before anything is made', async () => {
  const dir = temporaryDirectory()
  await expect(openCluster({ dir, stores: 2 as 3 })).rejects.toMatchObject({
    code: 'InvalidArgument',
  })
  await expect(openCluster({ dir, addr: '127.0.0.1:0' })).rejects.toThrow('give both addr and pd')
  for (const wrong of [{ regions: 0 }, { config: { raftMaxInflightMsgs: 0 } }]) {
    await expect(openCluster({ dir, ...wrong })).rejects.toMatchObject({ code: 'ConfigInvalid' })
  }
  expect(readdirSync(dir)).toEqual([])
})

it('three joined stores are one cluster', async () => {
  // Nobody is at the first of them.
  const pd = `127.0.0.1:1, ${await startDriver(3)}`
  const dirs = [1, 2, 3].map((n) => join(temporaryDirectory(), `store-${n}`))
  const addr = '127.0.0.1:0'
  const stores = await Promise.all(dirs.map((dir) => open({ dir, addr, pd })))
  await fill(stores[0]!, 'a')
  for (const store of stores) expect(await count(store)).toBe(500)
  expect(new Set(stores.flatMap((store) => store.storeIds)).size).toBe(3)
  // Two of three go on, whoever led.
  await stores[2]!.close()
  await fill(stores[0]!, 'b')
  expect(await count(stores[1]!)).toBe(1000)
  const again = await open({ dir: dirs[2]!, addr, pd })
  expect(again.storeIds).toEqual(stores[2]!.storeIds)
  expect(await count(again)).toBe(1000)
})

it('server processes and embedded stores are one cluster', async () => {
  const pd = await startDriver(3)
  const dir = temporaryDirectory()
  const running = new Running([
    ...['server', '--data-dir', join(dir, 'process'), '--pd-endpoints', pd],
    ...['--addr', '127.0.0.1:0', '--status-addr', '127.0.0.1:0'],
  ])
  const join_ = (name: string) => open({ dir: join(dir, name), addr: '127.0.0.1:0', pd })
  const [first, second] = await Promise.all([join_('first'), join_('second')])
  await running.until(/"serving"/)
  await fill(first, 'a')
  expect(await count(second)).toBe(500)
  expect(await running.stop()).toBe(0)
  await fill(second, 'b')
  expect(await count(first)).toBe(1000)
})

it('a program that has closed its cluster ends by itself', async () => {
  const dir = temporaryDirectory()
  const script = join(dir, 'program.mjs')
  writeFileSync(
    script,
    `import { openCluster } from ${JSON.stringify(builtUrl('server/open-cluster.js').href)}
     const cluster = await openCluster({ dir: ${JSON.stringify(join(dir, 'data'))}, stores: 3 })
     await cluster.kv.put('k', 'v')
     await cluster.close()
     console.log('closed')`,
  )
  const child = spawn(process.execPath, [script])
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  let output = ''
  let closedMs = 0
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString()
    closedMs = performance.now()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  const code = await new Promise((resolve) => child.once('close', resolve))
  expect(output).toBe('closed\n')
  expect(code).toBe(0)
  expect(performance.now() - closedMs).toBeLessThan(2_000)
})
