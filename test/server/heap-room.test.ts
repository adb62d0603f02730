import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { MIB } from '../../src/base/limits.ts'
import { growthPercent } from '../../src/server/heap-room.ts'

const child = new URL('./heap-room-child.mjs', import.meta.url).pathname

async function run(
  mode: 'room' | 'none',
  rounds: number,
): Promise<{ markings: number; rounds: number }> {
  const args = ['--expose-gc', child, mode, String(rounds)]
  return JSON.parse((await promisify(execFile)(process.execPath, args)).stdout)
}

test('a small heap gets 48 MiB of room, a large one a fifth of its size', () => {
  expect(growthPercent(16 * MIB)).toBe(300)
  expect(growthPercent(48 * MIB)).toBe(100)
  expect(growthPercent(1024 * MIB)).toBe(20)
})

// From version 12 on V8 gives buffers 64 MiB of their own, which a round of scavenges stays below.
const v8 = Number.parseInt(process.versions.v8, 10)
test.runIf(v8 < 12)('buffers that die young start no marking, as they would', async () => {
  // A marking ends when its threads get a processor; until then nothing tells of it.
  const none = await run('none', 20_000)
  expect(none.markings).toBeGreaterThan(0)
  expect(await run('room', 1024 + none.rounds * 4)).toMatchObject({ markings: 0 })
})
