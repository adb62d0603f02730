/** `polyraft ctl log-engine` on real files. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { nodeFileSystem } from '../../../src/env/node-fs.ts'
import { registerCtl } from '../../../src/server/commands/ctl.ts'
import { FakeCluster } from '../../client/fake-cluster.ts'
import { entries, HARD, open } from '../../raftlog/harness.ts'
import { FakeIo } from '../cli/fake-io.ts'

let dir: string
let raft: string

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'polyraft-ctl-log-'))
  raft = join(dir, 'raft')
  const { log } = await open({ dir: raft, fs: nodeFileSystem, segmentBytes: 4096 })
  for (const id of [1, 2]) log.create(id, 0, 0, HARD)
  for (let index = 1; index <= 20; index++) {
    for (const regionId of [1, 2]) {
      const one = entries(index, index, 1, 200)
      log.write({ regionId, readyNumber: index, entries: one, hardState: undefined })
    }
    log.flush()
  }
  await log.close()
})

afterEach(() => rmSync(dir, { recursive: true, force: true }))

function run(...args: string[]): Promise<FakeIo> {
  const io = new FakeIo(new FakeCluster([1]))
  return io.run(registerCtl, ['ctl', 'log-engine', ...args])
}

function segments(): string[] {
  return readdirSync(raft).filter((name) => name.endsWith('.log'))
}

function damage(name: string, at: number): void {
  const bytes = readFileSync(join(raft, name))
  bytes[at]! ^= 1
  writeFileSync(join(raft, name), bytes)
}

describe('dump', () => {
  test('shows segments and regions as tables, from the data directory too', async () => {
    const io = await run('dump', dir)
    expect(io.exitCode).toBe(0)
    expect(io.stdout.text).toMatch(/^SEGMENT +RUN +BYTES/)
    expect(io.stdout.text).toMatch(/^ +2 +1 +0 +0 +0@0 +1-20 +4000 +000-0{11}1\.log +yes$/m)
  })

  test('shows one region block by block as JSON', async () => {
    const io = await run('dump', raft, '--region', '2', '-w', 'json')
    const rows = io.stdout.lines.map((line) => JSON.parse(line))
    const blocks = rows.filter((row) => row.kind === 'block')
    expect(blocks).toHaveLength(20)
    expect(blocks.every((row) => row.items.length === 1 && row.items[0].regionId === 2)).toBe(true)
    expect(blocks[19].items[0]).toMatchObject({ firstIndex: 20, lastIndex: 20, terms: '1-1' })
    const [region] = rows.filter((row) => row.kind === 'region')
    expect(region).toMatchObject({ regionId: 2, firstIndex: 1, lastIndex: 20, whole: true })
    expect(rows.filter((row) => row.kind === 'segment').map((row) => row.name)).toEqual(segments())
  })
})

describe('verify', () => {
  test('exits 0 for a whole log', async () => {
    const io = await run('verify', dir)
    expect(io.stdout.text).toBe(`whole: ${segments().length} segments, 20 blocks, 2 regions\n`)
    expect(io.exitCode).toBe(0)
  })

  test('prints every damage with file and offset, and exits 1', async () => {
    const [first, second] = segments()
    damage(first!, 700)
    damage(second!, 60)
    const io = await run('verify', dir)
    expect(io.exitCode).toBe(1)
    expect(io.stdout.text).toMatch(/^damaged: 000-000000000001\.log@\d+: .*checksum/m)
    expect(io.stdout.text).toMatch(/^damaged: 000-000000000002\.log@44: /m)
  })

  test('says where it found no log', async () => {
    const io = await run('verify', tmpdir())
    expect(io.stderr.text).toContain('holds no raft log')
    expect(io.exitCode).toBe(1)
  })
})

describe('repair', () => {
  test('cuts off an unfinished write and keeps a copy', async () => {
    const newest = join(raft, segments().at(-1)!)
    const whole = readFileSync(newest)
    writeFileSync(newest, Buffer.concat([whole, Buffer.from('torn')]))
    const io = await run('repair', dir)
    expect(io.exitCode).toBe(0)
    expect(io.stdout.text).toContain('4 bytes that were never acknowledged')
    expect(readFileSync(newest)).toEqual(whole)
    expect(readdirSync(join(raft, 'cut-1'))).toEqual([segments().at(-1)])
    expect((await run('repair', dir)).stdout.text).toContain('nothing to repair')
  })

  test('changes nothing about damage unless told where to cut and --yes', async () => {
    damage(segments()[1]!, 60)
    const before = segments().map((name) => readFileSync(join(raft, name)))
    const refused = await run('repair', dir)
    expect(refused.exitCode).toBe(1)
    expect(refused.stderr.text).toContain('--cut 000-000000000002.log@44')
    const told = await run('repair', dir, '--cut', '000-000000000002.log@44')
    expect(told.exitCode).toBe(0)
    expect(told.stdout.text).toMatch(/region 1: now entries \S+.*; then entries 1-\d+, term 1/)
    expect(told.stdout.text).toContain('nothing was changed')
    expect(segments().map((name) => readFileSync(join(raft, name)))).toEqual(before)
    const elsewhere = await run('repair', dir, '--cut', '000-000000000002.log@45', '--yes')
    expect(elsewhere.stderr.text).toContain('is no damage that was found')
  })

  test('cuts, keeps a copy, and leaves a log that is whole', async () => {
    const name = segments()[1]!
    damage(name, 60)
    const original = readFileSync(join(raft, name))
    const io = await run('repair', dir, '--cut', '000-000000000002.log@44', '--yes')
    expect(io.exitCode).toBe(0)
    expect(readFileSync(join(raft, 'cut-1', name))).toEqual(original)
    expect((await run('verify', dir)).exitCode).toBe(0)
    const { log } = await open({ dir: raft, fs: nodeFileSystem })
    expect(log.state(1)!.lastIndex).toBeLessThan(20)
    await log.close()
  })

  test('never touches a directory in use', async () => {
    const { log } = await open({ dir: raft, fs: nodeFileSystem })
    try {
      for (const command of ['repair', 'verify', 'dump']) {
        const io = await run(command, dir)
        expect(io.stderr.text).toContain('is in use by process')
        expect(io.exitCode).toBe(1)
      }
    } finally {
      await log.close()
    }
  })
})
