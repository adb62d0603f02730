import { readFileSync } from 'node:fs'
import { getPriority } from 'node:os'
import { Worker } from 'node:worker_threads'
import { expect, it, onTestFinished } from 'vitest'
import { silentLogger } from '../../src/base/logger.ts'
import { lowerThreads } from '../../src/env/thread-priority.ts'

/** A thread that says its id and name, and then waits. */
const THREAD = `
  const { parentPort } = require('node:worker_threads')
  const { readlinkSync, writeFileSync } = require('node:fs')
  writeFileSync('/proc/thread-self/comm', 'some:low')
  parentPort.postMessage(Number(readlinkSync('/proc/thread-self').split('/').at(-1)))
  parentPort.on('message', () => {})
`

it.runIf(process.platform === 'linux')('threads of a name yield, others do not', async () => {
  const worker = new Worker(THREAD, { eval: true })
  onTestFinished(async () => void (await worker.terminate()))
  const id = await new Promise<number>((resolve) => worker.once('message', resolve))
  expect(readFileSync(`/proc/self/task/${id}/comm`, 'utf8')).toBe('some:low\n')
  const own = getPriority()
  expect(getPriority(id)).toBe(own)
  expect(lowerThreads({ 'some:low': own + 3, 'some:high': own + 1 }, silentLogger)).toBe(1)
  expect(getPriority(id)).toBe(own + 3)
  expect(getPriority()).toBe(own)
})

it.runIf(process.platform === 'linux')(
  'what is not allowed is told, and harms nothing',
  async () => {
    const own = getPriority()
    const warnings: string[] = []
    const logger = {
      ...silentLogger,
      warn: (_fields: object, text: string) => void warnings.push(text),
    }
    const name = readFileSync('/proc/self/comm', 'utf8').trimEnd()
    // Out of range for everybody.
    expect(lowerThreads({ [name]: 40 }, logger)).toBe(0)
    expect(warnings).toEqual(['background threads keep their priority'])
    expect(getPriority()).toBe(own)
  },
)
