import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { builtUrl } from '../../src/base/built-url.ts'
import { lockDirectory } from '../../src/env/dir-lock.ts'

let root: string
let dir: string

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'polyraft-lock-'))
  dir = mkdtempSync(join(root, 'data-'))
})

afterEach(() => {
  rmSync(root, { recursive: true, force: true })
})

it('is exclusive within a process, also through a link, until released', async () => {
  const lock = await lockDirectory(dir)
  const link = join(root, 'link')
  symlinkSync(dir, link)
  for (const path of [dir, link]) {
    await expect(lockDirectory(path)).rejects.toMatchObject({
      code: 'DataDirLocked',
      data: { pid: process.pid },
    })
  }
  const other = mkdtempSync(join(root, 'other-'))
  await (await lockDirectory(other)).release()
  await lock.release()
  await (await lockDirectory(dir)).release()
})

it('is held by another process, which it names, and dies with it', async () => {
  const module = builtUrl('env/dir-lock.js').href
  const script = `
    const { lockDirectory } = await import(${JSON.stringify(module)})
    await lockDirectory(${JSON.stringify(dir)})
    console.log('locked')
    setInterval(() => {}, 1000)`
  const args = ['--input-type=module', '--eval', script]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    await once(child.stdout, 'data')
    await expect(lockDirectory(dir)).rejects.toMatchObject({
      code: 'DataDirLocked',
      message: expect.stringContaining(`in use by process ${child.pid}`),
      data: { pid: child.pid },
    })
  } finally {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  await (await lockDirectory(dir)).release()
})

it('has one winner among many starters', async () => {
  const tries = await Promise.allSettled(Array.from({ length: 20 }, () => lockDirectory(dir)))
  const won = tries.filter((one) => one.status === 'fulfilled')
  expect(won).toHaveLength(1)
  await won[0]!.value.release()
})

it('does not keep the process alive', async () => {
  const module = builtUrl('env/dir-lock.js').href
  const script = `
    const { lockDirectory } = await import(${JSON.stringify(module)})
    await lockDirectory(${JSON.stringify(dir)})`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script])
  const [code] = await once(child, 'exit')
  expect(code).toBe(0)
})
