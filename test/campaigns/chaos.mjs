/**
 * A campaign against real processes: writers and readers on a three-store cluster while stores, PD, or
 * all of them at once are killed without warning.
 *
 *   npm run chaos -- --seconds 120 --regions 16
 *
 * Now and then nobody asks for anything for some seconds, so that regions hibernate when it strikes.
 *
 * Every key has one writer, which puts rising numbers one after the other. So at any moment:
 * - a read must see at least the last number acknowledged before the read began, and at most the last
 *   number that was sent (linearizability of a register with one writer);
 * - at the end every key holds a number in that range.
 * Anything else is printed, and the exit code is 1. Interrupted, it stops early and checks all the same.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { freePortBlock } from '../../dist/bench/port-block.js'
import { connect } from '../../dist/index.js'

const MAIN = fileURLToPath(new URL('../../dist/server/main.js', import.meta.url))
const { values: flags } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    regions: { type: 'string', default: '16' },
    keys: { type: 'string', default: '64' },
    readers: { type: 'string', default: '16' },
  },
})
const seconds = Number(flags.seconds)
const dir = mkdtempSync(join(tmpdir(), 'polyraft-chaos-'))
const base = await freePortBlock(7)
const counts = {
  puts: 0,
  undetermined: 0,
  reads: 0,
  failedReads: 0,
  kills: 0,
  lulls: 0,
  violations: 0,
}
const problems = []

let supervisor
let supervisorExit

async function up() {
  const ports = ['--pd-port', base, '--store-port', base + 1, '--status-port', base + 4]
  const args = [MAIN, 'up', '--dir', dir, '--stores', '3', '--regions', flags.regions, ...ports]
  // In a process group of its own: what interrupts the campaign does not interrupt the cluster.
  supervisor = spawn(process.execPath, args.map(String), {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  })
  supervisorExit = new Promise((resolve) => supervisor.once('exit', resolve))
  await new Promise((resolve, reject) => {
    supervisorExit.then((code) => reject(new Error(`polyraft up ended with ${code}`)))
    let output = ''
    supervisor.stdout.on('data', (chunk) => {
      output += chunk
      if (/^ready/m.test(output)) resolve(undefined)
    })
  })
}

function pids() {
  return JSON.parse(readFileSync(join(dir, 'pids.json'), 'utf8'))
}

/** Whoever was killed a moment ago may not have its successor yet. */
function signal(pid, name) {
  // To a signal, 0 would be this very process and all around it.
  if (pid === 0) return
  try {
    process.kill(pid, name)
  } catch (error) {
    if (error.code !== 'ESRCH') throw error
  }
}

function kill(pid) {
  counts.kills++
  signal(pid, 'SIGKILL')
}

async function killEverything() {
  const { pd, stores } = pids()
  for (const pid of [supervisor.pid, pd, ...stores.map((store) => store.pid)]) kill(pid)
  await supervisorExit
  await up()
}

const keys = Array.from({ length: Number(flags.keys) }, (_, i) => ({
  name: `${String.fromCharCode(0x21 + ((i * 37) % 94))}chaos-${i}`,
  sent: 0,
  acknowledged: 0,
}))
let running = true
let interrupted = false
let lullUntilMs = 0
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    interrupted = true
  })
}

function violation(text) {
  counts.violations++
  problems.push(text)
  process.stderr.write(`VIOLATION: ${text}\n`)
}

/** Waits while nobody is to ask for anything. */
async function pastLull() {
  const ms = lullUntilMs - performance.now()
  if (ms > 0) await sleep(ms)
}

async function writer(kv, key) {
  while (running) {
    await pastLull()
    const number = ++key.sent
    try {
      await kv.put(key.name, String(number))
      key.acknowledged = number
      counts.puts++
    } catch {
      counts.undetermined++
    }
  }
}

async function check(kv, key) {
  const atLeast = key.acknowledged
  const value = await kv.get(key.name)
  const number = value === undefined ? 0 : Number(value.toString())
  if (number < atLeast || number > key.sent) {
    violation(`${key.name}: read ${number}, acknowledged ${atLeast}, sent ${key.sent}`)
  }
}

async function reader(kv) {
  while (running) {
    await pastLull()
    try {
      await check(kv, keys[Math.floor(Math.random() * keys.length)])
      counts.reads++
    } catch {
      counts.failedReads++
    }
  }
}

async function killer() {
  const end = performance.now() + seconds * 1000
  while (performance.now() < end && !interrupted) {
    if (Math.random() < 0.25) {
      counts.lulls++
      lullUntilMs = performance.now() + 5500
      await sleep(4000)
    }
    await sleep(500 + Math.random() * 3000)
    const dice = Math.random()
    const { pd, stores } = pids()
    const victim = stores[Math.floor(Math.random() * stores.length)]
    if (dice < 0.55) {
      kill(victim.pid)
    } else if (dice < 0.65) {
      kill(pd)
    } else if (dice < 0.85) {
      // Longer than a lease and an election: it comes back and believes that it leads.
      signal(victim.pid, 'SIGSTOP')
      await sleep(500 + Math.random() * 3000)
      signal(victim.pid, 'SIGCONT')
    } else {
      await killEverything()
    }
  }
}

let kv
try {
  await up()
  // Generous: an outage of all processes lasts some seconds.
  kv = await connect({ pd: `127.0.0.1:${base}`, timeoutMs: 15_000 })
  const loops = [
    ...keys.map((key) => writer(kv, key)),
    ...Array.from({ length: Number(flags.readers) }, () => reader(kv)),
  ]
  try {
    await killer()
  } finally {
    // After a failure, too: with a closed client they would turn for ever.
    running = false
    await Promise.all(loops)
  }
  for (const key of keys) await check(kv, key)
} finally {
  await kv?.close()
  supervisor.kill('SIGTERM')
  await supervisorExit
  if (counts.violations === 0) rmSync(dir, { recursive: true, force: true })
}
process.stdout.write(`${JSON.stringify({ seconds, regions: Number(flags.regions), ...counts })}\n`)
if (counts.violations > 0) process.stdout.write(`the data directory is kept: ${dir}\n`)
process.exitCode = counts.violations > 0 || counts.puts === 0 ? 1 : 0
