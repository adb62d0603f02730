/** What `polyraft server` answers without running a node. */
import { describe, expect, test } from 'vitest'
import { register } from '../../../src/server/commands/server.ts'
import { sampleConfig } from '../../../src/server/config-sample.ts'
import { FakeCluster } from '../../client/fake-cluster.ts'
import { FakeIo } from '../cli/fake-io.ts'

function newIo(): FakeIo {
  return new FakeIo(new FakeCluster([1]))
}

/** The standard output of a command whose every write fails. */
async function failing(flag: string, code: string): Promise<FakeIo> {
  const io = newIo()
  io.stdout._write = (_chunk: Buffer, _encoding: string, done) => {
    done(Object.assign(new Error(`${code}: the write failed`), { code }))
  }
  return io.run(register, ['server', flag])
}

test('the sample and a good configuration', async () => {
  const sample = await newIo().run(register, ['server', '--print-sample-config'])
  expect([sample.stdout.text, sample.exitCode]).toEqual([sampleConfig(), 0])
  const check = await newIo().run(register, ['server', '--config-check'])
  expect([check.stdout.text, check.exitCode]).toEqual(['the configuration is good\n', 0])
})

describe.each(['--print-sample-config', '--config-check'])('%s', (flag) => {
  test('a reader that goes away ends it quietly', async () => {
    const io = await failing(flag, 'EPIPE')
    expect([io.exitCode, io.stderr.text]).toEqual([0, ''])
  })

  test('an output that takes nothing is a failure of one line', async () => {
    const io = await failing(flag, 'ENOSPC')
    expect([io.exitCode, io.stderr.text]).toEqual([1, 'polyraft: ENOSPC: the write failed\n'])
  })
})
