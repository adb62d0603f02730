import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { lockDirectory } from '../../src/env/dir-lock.ts'
import { claimDirectories } from '../../src/server/cluster-lock.ts'
import { planCluster, type UpOptions } from '../../src/server/cluster-plan.ts'
import { readStoreIds, writePids } from '../../src/server/pids-file.ts'
import { WrongUsage } from '../../src/server/wrong-usage.ts'
import { occupiedPort, temporaryDirectory } from './fixtures.ts'

function options(given: Partial<UpOptions> = {}): UpOptions {
  return {
    dir: given.dir ?? join(temporaryDirectory(), 'data'),
    stores: undefined,
    regions: 4,
    pdPort: 0,
    storePort: 0,
    statusPort: 0,
    restart: true,
    ...given,
  }
}

/** The directories of a cluster that ran once. */
async function clusterOf(stores: number): Promise<string> {
  const plan = await planCluster(options({ stores }))
  const lock = await claimDirectories(plan)
  await lock.release()
  return plan.dir
}

test('three stores by default, each with free ports and a directory of its own', async () => {
  const plan = await planCluster(options())
  expect(plan).toMatchObject({ regions: 4, replicas: 3, resumed: false })
  expect(plan.stores.map((store) => store.dir)).toEqual(
    [1, 2, 3].map((n) => join(plan.dir, `store-${n}`)),
  )
  const addresses = plan.stores.flatMap((store) => [store.address, store.status])
  expect(new Set([plan.pdAddress, ...addresses]).size).toBe(7)
})

test('one store has one replica', async () => {
  expect(await planCluster(options({ stores: 1 }))).toMatchObject({ replicas: 1 })
})

describe('a directory that has a cluster', () => {
  test('is resumed with the stores that it has', async () => {
    const dir = await clusterOf(2)
    const plan = await planCluster(options({ dir }))
    expect(plan.resumed).toBe(true)
    expect(plan.stores).toHaveLength(2)
    expect((await planCluster(options({ dir, stores: 3 }))).stores).toHaveLength(3)
  })

  test('is not started with fewer', async () => {
    const dir = await clusterOf(3)
    await expect(planCluster(options({ dir, stores: 1 }))).rejects.toThrow(
      `${dir} holds a cluster of 3 stores: start it with --stores 3`,
    )
  })
})

describe('claiming', () => {
  test('is for one at a time', async () => {
    const plan = await planCluster(options())
    const lock = await claimDirectories(plan)
    await expect(claimDirectories(plan)).rejects.toMatchObject({ code: 'DataDirLocked' })
    await lock.release()
    await (await claimDirectories(plan)).release()
  })

  test('fails while a part is in use, and leaves nothing claimed', async () => {
    const plan = await planCluster(options({ dir: await clusterOf(1), stores: 2 }))
    const held = await lockDirectory(plan.stores[0]!.dir)
    await expect(claimDirectories(plan)).rejects.toThrow(`${plan.stores[0]!.dir} is in use by`)
    expect(existsSync(plan.stores[1]!.dir)).toBe(false)
    await held.release()
    await (await claimDirectories(plan)).release()
  })
})

describe('ports', () => {
  test.each([
    ['--pd-port', 'pdPort'],
    ['--store-port', 'storePort'],
    ['--status-port', 'statusPort'],
  ] as const)('one in use is told with %s', async (flag, key) => {
    const port = await occupiedPort()
    await expect(planCluster(options({ [key]: port, stores: 1 }))).rejects.toMatchObject({
      code: 'AddressInUse',
      message: `127.0.0.1:${port} (${flag}) is in use: stop the program that has it, or choose another`,
    })
  })

  test('one in use, perhaps by this very cluster, points to its processes', async () => {
    const dir = temporaryDirectory()
    writeFileSync(join(dir, 'pids.json'), '{}')
    const pdPort = await occupiedPort()
    await expect(planCluster(options({ dir, pdPort }))).rejects.toThrow(
      `its processes are in ${join(dir, 'pids.json')}`,
    )
  })

  test('ranges that overlap or end too high are refused', async () => {
    const overlap = options({ storePort: 30000, statusPort: 30002 })
    const high = options({ storePort: 65534 })
    await expect(planCluster(overlap)).rejects.toThrow(/overlap with 3 stores/)
    await expect(planCluster(high)).rejects.toThrow(/too high for 3/)
    for (const each of [overlap, high]) {
      await expect(planCluster(each)).rejects.toBeInstanceOf(WrongUsage)
    }
  })
})

test('a directory that is a file is refused', async () => {
  const dir = join(temporaryDirectory(), 'file')
  writeFileSync(dir, '')
  await expect(planCluster(options({ dir }))).rejects.toMatchObject({ code: 'DataDirUnusable' })
})

describe('pids.json', () => {
  test('gives back the ids of stores by directory', () => {
    const file = join(temporaryDirectory(), 'pids.json')
    expect(readStoreIds(file)).toEqual(new Map())
    const store = { id: 4, pid: 1, address: 'a:1', status: 'a:2', dir: '/d' }
    writePids(file, { pd: 9, stores: [store] })
    expect(readStoreIds(file)).toEqual(new Map([['/d', 4]]))
  })

  test.each(['{', '[]', 'null', '{"stores": 3}'])('%s counts as not there', (text) => {
    const dir = temporaryDirectory()
    mkdirSync(dir, { recursive: true })
    writeFileSync(join(dir, 'pids.json'), text)
    expect(readStoreIds(join(dir, 'pids.json'))).toEqual(new Map())
  })
})
