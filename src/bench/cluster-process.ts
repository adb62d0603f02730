/** A three-store polyraft as users run it (`polyraft up`), in a child process, for benchmarks. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { builtUrl } from '../base/built-url.ts'
import { endProcess } from './end-process.ts'
import { freePortBlock } from './port-block.ts'
import type { Scratch } from './scratch.ts'

const STORES = 3
const READY_MS_MAX = 60_000
/** Of PD, and two of each store. */
const PORTS = 1 + 2 * STORES

interface Pids {
  readonly pd: number
  readonly stores: readonly { readonly pid: number }[]
}

export class ClusterProcess {
  readonly dir: string
  readonly pd: string
  readonly #child: ChildProcess

  /** Ports basePort … basePort + 6. */
  constructor(dir: string, basePort: number, regions: number) {
    this.dir = dir
    this.pd = `127.0.0.1:${basePort}`
    this.#child = spawn(
      process.execPath,
      [
        fileURLToPath(builtUrl('server/main.js')),
        'up',
        ...['--dir', dir, '--stores', `${STORES}`, '--regions', `${regions}`, '--no-restart'],
        ...['--pd-port', `${basePort}`, '--store-port', `${basePort + 1}`],
        ...['--status-port', `${basePort + 1 + STORES}`],
      ],
      // Out of the reach of a terminal's Ctrl-C: stop() is its one order to end.
      { stdio: ['ignore', 'pipe', 'inherit'], detached: true },
    )
  }

  /** Resolves when all stores serve. */
  ready(): Promise<void> {
    return ready(this.#child)
  }

  get pids(): { pd: number; stores: number[] } {
    const { pd, stores } = JSON.parse(readFileSync(join(this.dir, 'pids.json'), 'utf8')) as Pids
    return { pd, stores: stores.map(({ pid }) => pid) }
  }

  stop(): Promise<void> {
    return endProcess(this.#child)
  }
}

/** One that serves, in a directory of this name; it ends with the benchmark. */
export async function startCluster(
  scratch: Scratch,
  name: string,
  regions: number,
): Promise<ClusterProcess> {
  const dir = join(scratch.dir, name)
  mkdirSync(dir)
  const cluster = new ClusterProcess(dir, await freePortBlock(PORTS), regions)
  scratch.onEnd(() => cluster.stop())
  await cluster.ready()
  return cluster
}

function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let output = ''
    const late = setTimeout(() => {
      reject(new Error(`the cluster was not ready within ${READY_MS_MAX / 1000} s:\n${output}`))
    }, READY_MS_MAX)
    child.once('exit', (code) => {
      clearTimeout(late)
      reject(new Error(`polyraft up ended with ${code}:\n${output}`))
    })
    child.stdout!.on('data', (chunk: Buffer) => {
      output += chunk.toString()
      if (!/^ready/m.test(output)) return
      clearTimeout(late)
      resolve()
    })
  })
}
