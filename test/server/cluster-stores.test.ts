import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  embeddedStores,
  existingStores,
  makeStoreDirs,
  storeDir,
} from '../../src/server/cluster-stores.ts'
import { temporaryDirectory } from './fixtures.ts'

async function clusterOf(stores: number): Promise<string> {
  const dir = temporaryDirectory()
  await makeStoreDirs(dir, stores)
  return dir
}

test('a start that was cut short while it made directories tells the number all the same', async () => {
  const dir = temporaryDirectory()
  // In the place of the second: only the third is made.
  writeFileSync(storeDir(dir, 2), '')
  await expect(makeStoreDirs(dir, 3)).rejects.toMatchObject({ code: 'DataDirUnusable' })
  expect(await existingStores(dir)).toBe(3)
})

describe('an embedded cluster', () => {
  test('has one store, or three if that is wanted', async () => {
    const dir = join(temporaryDirectory(), 'new')
    expect(await embeddedStores(dir, undefined)).toBe(1)
    expect(await embeddedStores(dir, 3)).toBe(3)
    for (const wanted of [0, 2, 4, Number.NaN]) {
      await expect(embeddedStores(dir, wanted)).rejects.toMatchObject({
        code: 'InvalidArgument',
        message: `stores is 1 or 3, not ${wanted}`,
      })
    }
  })

  test.each([1, 2, 3, 5])('keeps the %i stores that its directory has', async (stores) => {
    const dir = await clusterOf(stores)
    expect(await embeddedStores(dir, undefined)).toBe(stores)
    expect(await embeddedStores(dir, stores)).toBe(stores)
  })

  test.each([
    [1, 3, '1 store'],
    [3, 1, '3 stores'],
    [3, 4, '3 stores'],
  ])('of %i is not opened with %i', async (stores, wanted, what) => {
    const dir = await clusterOf(stores)
    await expect(embeddedStores(dir, wanted)).rejects.toMatchObject({
      code: 'InvalidArgument',
      message:
        `${dir} holds a cluster of ${what}, not ${wanted}: leave stores out to open it, or give ` +
        'another dir for a new one',
    })
  })

  test('is not looked for in other names', async () => {
    const dir = temporaryDirectory()
    for (const name of ['pd', 'store-', 'store-x', 'a-store-7']) mkdirSync(join(dir, name))
    expect(await existingStores(dir)).toBe(0)
  })
})
