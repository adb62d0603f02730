/** Runs a small script against the built engine in a process of its own: a crash is a result. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { expect } from 'vitest'
import { builtUrl } from '../../src/base/built-url.ts'

const engineUrl = builtUrl('engine/rocksdb-engine.js')

/** What every script finds: the engine, its directory, and `codeOf`. */
function withPreamble(script: string): string {
  return `
    import { attachRocksDb, openRocksDb } from ${JSON.stringify(engineUrl.href)}
    import { Worker } from 'node:worker_threads'
    const dir = process.argv[1]
    const engineUrl = ${JSON.stringify(engineUrl.href)}
    const b = (text) => Buffer.from(text)
    const all = {
      start: b('a'), end: b('zz'), limit: 1e9, bytesMax: 1e12, reverse: false, keysOnly: false,
    }
    const codeOf = async (run) => {
      try { await run() } catch (error) { return error.code ?? error.name }
      return 'no error'
    }
    const fill = (engine, count) => {
      const batch = engine.newBatch()
      for (let i = 0; i < count; i++) batch.put(0, b('k' + i), Buffer.alloc(100, i))
      engine.write(batch, { sync: false })
    }
    /** A worker whose code sees the handle as \`handle\`, and \`attachRocksDb\`. */
    const work = (handle, code) => new Worker(
      'import(' + JSON.stringify(engineUrl) + ').then(async ({ attachRocksDb }) => {' +
      'const { workerData: handle, parentPort } = require("node:worker_threads");' +
      'const b = (text) => Buffer.from(text);' + code + '})',
      { eval: true, execArgv: [], workerData: handle },
    )
    const exited = (worker) => new Promise((resolve, reject) => {
      worker.once('exit', resolve)
      worker.once('error', reject)
    })
    const message = (worker) => new Promise((resolve) => worker.once('message', resolve))
    ${script}
  `
}

export interface ChildResult {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface Child {
  readonly process: ChildProcess
  readonly result: Promise<ChildResult>
}

export function startChild(dir: string, script: string, nodeFlags: string[] = []): Child {
  expect(existsSync(engineUrl), 'dist/ is built: npm run build').toBe(true)
  const flags = [...nodeFlags, '--input-type=module', '-e', withPreamble(script), dir]
  return watch(spawn(process.execPath, flags, { stdio: ['ignore', 'pipe', 'pipe'] }))
}

/** The same in a shell that limits the size of every file: a full disk for one process. */
export function startChildWithFileLimit(dir: string, script: string, kib: number): Child {
  const flags = ['--input-type=module', '-e', withPreamble(script), dir]
  const command = ['-c', `ulimit -f ${kib}; exec "$0" "$@"`, process.execPath, ...flags]
  return watch(spawn('bash', command, { stdio: ['ignore', 'pipe', 'pipe'] }))
}

function watch(child: ChildProcess): Child {
  let stdout = ''
  let stderr = ''
  child.stdout!.on('data', (chunk: Buffer) => {
    stdout += chunk.toString()
  })
  child.stderr!.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  const result = new Promise<ChildResult>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
  return { process: child, result }
}

/** The script's output lines, after a clean exit. */
export async function lines(dir: string, script: string, nodeFlags?: string[]): Promise<string[]> {
  const { code, signal, stdout, stderr } = await startChild(dir, script, nodeFlags).result
  expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' })
  return stdout.trim().split('\n')
}
