import { readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { type Death, ManagedProcess } from '../../src/server/managed-process.ts'
import { temporaryDirectory } from './fixtures.ts'

/** A child that runs `script`, and the next start or death of it. */
function manage(script: string, restart: boolean) {
  const starts: number[] = []
  const deaths: Death[] = []
  let wake = (): void => {}
  const child = new ManagedProcess(
    {
      name: 'child',
      command: process.execPath,
      args: ['-e', script],
      outputFile: join(temporaryDirectory(), 'output.log'),
      restart,
    },
    {
      onStart: (pid) => {
        starts.push(pid)
        wake()
      },
      onDeath: (death) => {
        deaths.push(death)
        wake()
      },
    },
  )
  onTestFinished(() => child.kill())
  const until = async (met: () => boolean): Promise<void> => {
    while (!met()) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }
  return { child, starts, deaths, until }
}

const FOREVER = 'setInterval(() => {}, 1000)'

test('a child that fails tells its last line', async () => {
  const { child, starts, deaths, until } = manage(
    'console.error("a\\nwhy"); process.exit(3)',
    false,
  )
  child.start()
  await until(() => deaths.length === 1)
  expect(deaths).toEqual([
    { pid: starts[0], how: 'exit code 3', failed: true, lastLine: 'why', restarting: false },
  ])
  expect(child.pid).toBe(0)
})

test('a child that fails with a stack tells its first line', async () => {
  const { child, deaths, until } = manage('throw new Error("why")', false)
  child.start()
  await until(() => deaths.length === 1)
  expect(deaths[0]!.lastLine).not.toMatch(/^\s/)
  child.kill()
  const stack = manage(
    'console.error("polyraft: why\\n    at a\\n    at b"); process.exit(1)',
    false,
  )
  stack.child.start()
  await stack.until(() => stack.deaths.length === 1)
  expect(stack.deaths[0]!.lastLine).toBe('polyraft: why')
})

test('a child whose output cannot be written is a death, and is tried again', async () => {
  const { child, starts, deaths, until } = manage(FOREVER, true)
  const { outputFile } = child.spec
  rmSync(dirname(outputFile), { recursive: true })
  // In the way of the directory, which would be made anew.
  writeFileSync(dirname(outputFile), '')
  child.start()
  expect(deaths).toMatchObject([
    { pid: 0, failed: true, restarting: true, lastLine: expect.stringContaining('EEXIST') },
  ])
  rmSync(dirname(outputFile))
  await until(() => starts.length === 1)
  await child.stop()
})

test.runIf(process.platform === 'linux')(
  'a child whose disk is full tells why it failed all the same',
  async () => {
    const { child, deaths, until } = manage('console.error("why"); process.exit(1)', false)
    symlinkSync('/dev/full', child.spec.outputFile)
    child.start()
    await until(() => deaths.length === 1)
    expect(deaths).toMatchObject([{ failed: true, lastLine: 'why' }])
  },
)

test('what a child writes is kept in its file', async () => {
  const { child, deaths, until } = manage('console.log("out"); console.error("why")', false)
  child.start()
  await until(() => deaths.length === 1)
  expect(readFileSync(child.spec.outputFile, 'utf8').split('\n').sort()).toEqual(['', 'out', 'why'])
})

test('a killed child is started again, until it is stopped', async () => {
  const { child, starts, deaths, until } = manage(FOREVER, true)
  child.start()
  process.kill(child.pid, 'SIGKILL')
  await until(() => starts.length === 2)
  expect(deaths).toMatchObject([{ how: 'signal SIGKILL', failed: false, restarting: true }])
  expect(starts[1]).not.toBe(starts[0])
  await child.stop()
  expect(deaths).toHaveLength(1)
  expect(() => process.kill(starts[1]!, 0)).toThrow('ESRCH')
})

test('a stop during the pause before a restart keeps it stopped', async () => {
  const { child, starts, deaths, until } = manage('process.exit(1)', true)
  child.start()
  await until(() => deaths.length === 1)
  await child.stop()
  expect(starts).toHaveLength(1)
  expect(child.pid).toBe(0)
})

test('a program that cannot be started is a death', async () => {
  const deaths: Death[] = []
  const outputFile = join(temporaryDirectory(), 'output.log')
  await new Promise<void>((resolve) => {
    const child = new ManagedProcess(
      { name: 'none', command: '/no/such/program', args: [], outputFile, restart: false },
      {
        onStart: () => {},
        onDeath: (death) => {
          deaths.push(death)
          resolve()
        },
      },
    )
    child.start()
  })
  expect(deaths).toMatchObject([
    { pid: 0, failed: true, lastLine: expect.stringContaining('ENOENT') },
  ])
})
