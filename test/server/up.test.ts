/** `polyraft up` as a user has it: real processes, real ports, real directories. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { getPriority } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { systemErrorCode } from '../../src/base/errors.ts'
import { freePortBlock } from '../../src/bench/port-block.ts'
import { polyraft, Running } from '../cluster/cli.ts'
import { readPids } from '../cluster/harness.ts'
import { temporaryDirectory } from './fixtures.ts'

const FREE_PORTS = ['--pd-port', '0', '--store-port', '0', '--status-port', '0']

class Up extends Running {
  constructor(dir: string, ...args: string[]) {
    const ports = args.includes('--pd-port') ? [] : FREE_PORTS
    super(['up', '--dir', dir, ...ports, ...args], { leadsGroup: true })
    // After a failed test too, nothing is left: the supervisor first, which starts again what dies.
    onTestFinished(async () => {
      await this.stop('SIGKILL')
      for (const pid of allPids(dir)) if (isAlive(pid)) process.kill(pid, 'SIGKILL')
    })
  }
}

function allPids(dir: string): number[] {
  const { pd, stores } = readPids(dir)
  return [pd, ...stores.map((store) => store.pid)].filter((pid) => pid !== 0)
}

/** Names and priorities of RocksDB's threads. */
function nicesOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((id) => {
    const name = threadName(pid, id)
    return name.startsWith('rocksdb') ? [`${name} ${getPriority(Number(id))}`] : []
  })
}

/** Empty when the thread has ended meanwhile; those of RocksDB do not. */
function threadName(pid: number, id: string): string {
  try {
    return readFileSync(`/proc/${pid}/task/${id}/comm`, 'utf8').trimEnd()
  } catch (error) {
    if (!['ENOENT', 'ESRCH'].includes(systemErrorCode(error) ?? '')) throw error
    return ''
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** What a start in a directory that is in use says: one line. */
async function refusal(dir: string): Promise<string> {
  const up = new Up(dir, '--stores', '1')
  expect(await up.exited).toBe(1)
  expect(up.stderr).toMatch(/^polyraft: .*\n$/)
  return up.stderr
}

async function statusOf(status: string): Promise<{ storeId: number; regionCount: number }> {
  const response = await fetch(`http://${status}/status`)
  return (await response.json()) as { storeId: number; regionCount: number }
}

test('starts, restarts what dies, stops, and resumes', async () => {
  const dir = join(temporaryDirectory(), 'data')
  const up = new Up(dir, '--regions', '4')
  await up.until(/^ready/m)
  const before = readPids(dir)
  expect(before.stores).toHaveLength(3)
  expect(before.stores.map((store) => store.id)).toEqual([1, 2, 3])
  for (const store of before.stores) {
    expect(up.stdout).toContain(`${store.address}`)
    expect((await fetch(`http://${store.status}/ready`)).status).toBe(200)
    expect(await statusOf(store.status)).toMatchObject({ storeId: store.id, regionCount: 4 })
  }

  if (process.platform === 'linux') {
    const nices = [...new Set(nicesOf(before.stores[0]!.pid))].sort()
    expect(nices).toEqual(['rocksdb:high 5', 'rocksdb:low 10'])
  }

  const victim = before.stores[1]!
  process.kill(victim.pid, 'SIGKILL')
  await up.until(/store 2 \(pid \d+\) died of signal SIGKILL; starting it again/)
  while (readPids(dir).stores[1]!.pid === victim.pid) {
    await new Promise((resolve) => setImmediate(resolve))
  }
  const pids = allPids(dir)
  expect(pids.every(isAlive)).toBe(true)
  await up.until(/^store 2 \(pid \d+\) runs again$/m)

  expect(await up.stop('SIGTERM')).toBe(0)
  expect(pids.filter(isAlive)).toEqual([])
  // Whoever reads them later must not kill somebody else.
  expect(allPids(dir)).toEqual([])

  const again = new Up(dir)
  await again.until(/^ready/m)
  expect(again.stdout).toContain('resuming 3 stores')
  expect(readPids(dir).stores.map((store) => store.id)).toEqual(
    before.stores.map((store) => store.id),
  )
  const resumed = allPids(dir)
  expect(await again.stop('SIGINT')).toBe(0)
  expect(resumed.filter(isAlive)).toEqual([])
})

test.each(['SIGINT', 'SIGHUP'] as const)(
  '%s of a terminal reaches all of them, and stops them in order',
  async (signal) => {
    const dir = join(temporaryDirectory(), 'data')
    const up = new Up(dir, '--stores', '1')
    await up.until(/^ready/m)
    const pids = allPids(dir)
    const { dir: store } = readPids(dir).stores[0]!
    process.kill(-up.child.pid!, signal)
    expect(await up.exited).toBe(0)
    expect(pids.filter(isAlive)).toEqual([])
    expect(up.stdout).not.toContain('died')
    const stops = readFileSync(join(store, 'server.log'), 'utf8').match(/"signal":"\w+"/g)
    expect(stops).toEqual(['"signal":"SIGTERM"'])
  },
)

test('a store that lost its directory says what to do, and comes back as a new one', async () => {
  const dir = join(temporaryDirectory(), 'data')
  const up = new Up(dir, '--regions', '4')
  await up.until(/^ready/m)
  const { dir: lost, pid } = readPids(dir).stores[1]!
  process.kill(pid, 'SIGKILL')
  rmSync(lost, { recursive: true, force: true })
  await up.until(/died of exit code 1: .* polyraft ctl store delete 2 --physically-destroyed/)
  const pd = /^ready: PD on (\S+);/m.exec(up.stdout)![1]!
  const ctl = ['ctl', 'store', 'delete', '2', '--physically-destroyed', '--pd', pd]
  // Refused, saying how long to wait, until it counts as disconnected.
  await expect.poll(async () => (await polyraft(ctl)).stderr, { timeout: 40_000 }).toBe('')
  await up.until(/store 2 is a new one, with the id \d+/)
  // Tried every second meanwhile, but said once.
  expect(up.stdout.match(/which is the address of store 2/g)).toHaveLength(1)
  const { id, status } = readPids(dir).stores[1]!
  expect(id).toBeGreaterThan(3)
  while ((await statusOf(status)).regionCount < 4) {
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  expect(await up.stop('SIGTERM')).toBe(0)
})

test('a store whose directory is lost while nothing runs: the rest comes up, and it joins anew', async () => {
  const dir = join(temporaryDirectory(), 'data')
  const base = await freePortBlock(7)
  const ports = ['--pd-port', base, '--store-port', base + 1, '--status-port', base + 4].map(String)
  const first = new Up(dir, ...ports)
  await first.until(/^ready/m)
  const { dir: lost } = readPids(dir).stores[2]!
  expect(await first.stop('SIGINT')).toBe(0)
  rmSync(lost, { recursive: true })

  // As many as there are: it says who is missing, and that stores would have more replicas.
  const smaller = new Up(dir, ...ports)
  await smaller.until(/^ready/m)
  expect(smaller.stdout).toMatch(
    /store 3 \(.*\) of this cluster is not among the stores in .*data:/,
  )
  expect(await smaller.stop('SIGINT')).toBe(0)

  const up = new Up(dir, ...ports, '--stores', '3')
  await up.until(
    /store 3 .*died of exit code 1: .*silent for 20 s.* --physically-destroyed; starting/,
  )
  const ctl = ['ctl', 'store', 'delete', '3', '--physically-destroyed', '--pd', `127.0.0.1:${base}`]
  await expect.poll(async () => (await polyraft(ctl)).stderr, { timeout: 40_000 }).toBe('')
  await up.until(/store 3 is a new one, with the id \d+/)
  await up.until(/^ready/m)
  expect(up.stdout.match(/died of/g)).toHaveLength(1)
  expect(await up.stop('SIGTERM')).toBe(0)
})

test('a second cluster in the same directory is refused, and the first lives on', async () => {
  const dir = join(temporaryDirectory(), 'data')
  const first = new Up(dir, '--stores', '1')
  await first.until(/^ready/m)
  const before = readPids(dir)
  expect(await refusal(dir)).toContain(`${dir} is in use by process ${first.child.pid}:`)
  expect(readPids(dir)).toEqual(before)
  expect(allPids(dir).every(isAlive)).toBe(true)
  expect(await first.stop('SIGTERM')).toBe(0)
})

test('processes of a killed supervisor live on, and a new one says so', async () => {
  const dir = join(temporaryDirectory(), 'data')
  const first = new Up(dir, '--stores', '1')
  await first.until(/^ready/m)
  const { pd } = readPids(dir)
  await first.stop('SIGKILL')
  expect(await refusal(dir)).toContain(`${join(dir, 'pd')} is in use by process ${pd}:`)
  expect(allPids(dir).every(isAlive)).toBe(true)
})

test('--no-restart leaves a dead store as it is', async () => {
  const dir = join(temporaryDirectory(), 'data')
  const up = new Up(dir, '--stores', '1', '--no-restart')
  await up.until(/^ready/m)
  process.kill(readPids(dir).stores[0]!.pid, 'SIGKILL')
  await up.until(/died of signal SIGKILL; it is left stopped/)
  expect(readPids(dir).stores[0]!.pid).toBe(0)
  expect(await up.stop('SIGTERM')).toBe(0)
})

test('a second signal kills what does not stop', async () => {
  const dir = join(temporaryDirectory(), 'data')
  const up = new Up(dir, '--stores', '1')
  await up.until(/^ready/m)
  const pids = allPids(dir)
  process.kill(readPids(dir).stores[0]!.pid, 'SIGSTOP')
  up.child.kill('SIGTERM')
  await up.until(/stopping/)
  expect(await up.stop('SIGTERM')).toBe(1)
  expect(allPids(dir)).toEqual([])
  while (pids.some(isAlive)) await new Promise((resolve) => setImmediate(resolve))
})

test('a signal to npm start reaches it: no shell stays in between', async () => {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as {
    scripts: { start: string }
  }
  const dir = join(temporaryDirectory(), 'data')
  const command = [scripts.start, '--stores', '1', '--dir', dir, ...FREE_PORTS].join(' ')
  // As npm runs it, which gives a signal to this shell alone.
  const child = spawn('sh', ['-c', command], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  const ended = once(child, 'close')
  onTestFinished(() => {
    for (const pid of allPids(dir)) if (isAlive(pid)) process.kill(pid, 'SIGKILL')
  })
  await expect.poll(() => output, { timeout: 30_000 }).toMatch(/^ready/m)
  const pids = allPids(dir)
  expect(pids).toHaveLength(2)
  child.kill('SIGTERM')
  expect(await ended).toEqual([0, null])
  expect(pids.filter(isAlive)).toEqual([])
})
