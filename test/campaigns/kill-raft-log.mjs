// A raft log with real threads and real fsyncs, killed with SIGKILL at a random moment, again and
// again in the same directory. After each kill the offline check must find nothing, and every entry
// that was acknowledged must be there, with the bytes it was written with.
//
//   npm run build && node test/campaigns/kill-raft-log.mjs --rounds 200 [--seed 1]
//
// Exit code 0: nothing was lost. SIGKILL does not test power loss: test/raftlog/crash-points.test.ts does.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const DIST = new URL('../../dist/', import.meta.url)
const WRITER = fileURLToPath(new URL('../raftlog/fixtures/endless-writer.mjs', import.meta.url))
const WRITERS = [1, 2, 0, 3]
const LINES_MAX = 900
const LAGGING = 12
const ENTRY_BYTES = 700

const { openRaftLog } = await import(new URL('raftlog/open.js', DIST))
const { scanLog } = await import(new URL('raftlog/scan.js', DIST))
const { nodeFileSystem } = await import(new URL('env/node-fs.js', DIST))
const { silentLogger } = await import(new URL('base/logger.js', DIST))
const { seededRandom } = await import(new URL('base/clock.js', DIST))

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '200' }, seed: { type: 'string', default: '1' } },
})
const random = seededRandom(Number(values.seed))
const dir = mkdtempSync(join(tmpdir(), 'polyraft-kill-campaign-'))
const sums = { rounds: 0, acknowledged: 0, tails: 0, checked: 0 }

/** Runs the writer until it said `lines` lines, kills it, answers the last acknowledged indexes. */
async function runAndKill(writers, lines) {
  const args = [WRITER, DIST.href, dir, String(writers), String(LAGGING)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let errors = ''
  child.stderr.on('data', (chunk) => {
    errors += chunk
  })
  const exited = new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)))
  const acknowledged = new Map()
  let seen = 0
  for await (const line of createInterface({ input: child.stdout })) {
    const parts = line.split(' ').map(Number)
    if (parts.length === 3) acknowledged.set(parts[0], parts[2])
    seen++
    if (seen === lines) child.kill('SIGKILL')
  }
  const signal = await exited
  if (signal !== 'SIGKILL') throw new Error(`the writer ended by itself: ${errors}`)
  sums.acknowledged += seen
  return acknowledged
}

function verify() {
  const scan = scanLog(nodeFileSystem, dir)
  if (scan.damages.length > 0 || scan.brokenRegions.length > 0) {
    throw new Error(`damaged: ${JSON.stringify(scan.damages)} regions ${scan.brokenRegions}`)
  }
  sums.tails += scan.tails.length
}

async function check(acknowledged) {
  const log = await openRaftLog({
    dir,
    fs: nodeFileSystem,
    writers: 0,
    segmentBytes: 64 * 1024,
    cacheBytes: 0,
    logger: silentLogger,
    events: { onPersisted: () => {}, onFailed: () => {} },
  })
  for (const [region, index] of acknowledged) {
    const { lastIndex } = log.state(region) ?? { lastIndex: 0 }
    if (lastIndex < index)
      throw new Error(`region ${region}: ${index} acknowledged, ${lastIndex} found`)
  }
  for (const region of log.regions()) await checkEntries(log, region)
  await log.close()
}

async function checkEntries(log, region) {
  const { firstIndex, lastIndex } = log.state(region)
  for (let low = firstIndex; low <= lastIndex; ) {
    const answer = log.entries(region, low, lastIndex + 1, 1 << 20)
    if (answer === 'temporarily-unavailable') {
      await new Promise((resolve, reject) => {
        const done = (error) => (error ? reject(error) : resolve())
        log.fetch(region, low, lastIndex + 1, 1 << 20, done)
      })
      continue
    }
    for (const entry of answer) {
      const isWhole = entry.data.length === ENTRY_BYTES && entry.data.every((byte) => byte === 0x65)
      if (entry.index !== low || !isWhole)
        throw new Error(`region ${region}: entry ${low} is wrong`)
      low++
    }
    sums.checked += answer.length
  }
}

try {
  for (let round = 1; round <= Number(values.rounds); round++) {
    const writers = WRITERS[random.below(WRITERS.length)]
    const lines = 1 + random.below(LINES_MAX)
    try {
      const acknowledged = await runAndKill(writers, lines)
      verify()
      await check(acknowledged)
    } catch (error) {
      throw new Error(`round ${round}, seed ${values.seed}, files kept in ${dir}`, { cause: error })
    }
    sums.rounds++
  }
  rmSync(dir, { recursive: true })
  process.stdout.write(`nothing was lost: ${JSON.stringify(sums)}\n`)
} catch (error) {
  process.stderr.write(`${error.message}: ${error.cause?.message ?? ''}\n`)
  process.exitCode = 1
}
