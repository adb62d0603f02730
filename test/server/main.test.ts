import { execFile } from 'node:child_process'
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { builtUrl } from '../../src/base/built-url.ts'
import { sampleConfig } from '../../src/server/config-sample.ts'
import { occupiedPort, temporaryDirectory } from './fixtures.ts'

interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const main = fileURLToPath(builtUrl('server/main.js'))

function polyraft(...args: string[]): Promise<Outcome> {
  return outcome(process.execPath, [main, ...args])
}

function outcome(file: string, args: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(file, args, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr })
    })
  })
}

test('the command can be run by its name, as npx does', async () => {
  const { stdout } = await promisify(execFile)(main, ['--version'])
  expect(stdout).toMatch(/^\d+\.\d+\.\d+$/m)
})

describe('exit codes', () => {
  test.each([
    ['--help', /Usage: polyraft/],
    ['--version', /^\d+\.\d+\.\d+$/m],
    ['server --help', /--pd-endpoints/],
    ['kv get --help', /\(default:\s+127\.0\.0\.1:2379\)/],
    ['server --config-check', /the configuration is good/],
  ])('0: %s', async (line, output) => {
    const { code, stdout } = await polyraft(...line.split(' '))
    expect(stdout).toMatch(output)
    expect(code).toBe(0)
  })

  test.each([
    ['sever', /unknown command 'sever'\s.*Did you mean server/],
    ['server --nope', /unknown option '--nope'/],
    ['server --dat-dir x', /unknown option '--dat-dir'\s.*Did you mean --data-dir/],
    ['kv scan --limits 3', /unknown option '--limits'\s.*Did you mean --limit/],
    ['kv get k --timeout-ms 2147483648', /--timeout-ms <ms>.*at most 2073600000/],
    ['ctl health --timeout-ms 2147483648', /--timeout-ms <ms>.*at most 2073600000/],
    ['up --stores 0', /--stores <n>.*a whole number from 1 to 1000/],
    ['up --store-port 65535 --dir none', /^polyraft: --store-port 65535: too high for 3 stores$/m],
    ['server --addr bad', /^polyraft: flags: \[server\] addr: "bad" is not an address/m],
    ['pd --regions x', /--regions <n>.*a whole number/],
    ['pd --regions 8', /^polyraft: --regions is for .*: add --initial-stores$/m],
    ['bench nothing', /no suite "nothing"; there are .*raftlog.*engine/],
    ['bench store --bogus', /unknown option '--bogus'/],
    ['bench --second 1 store', /unknown option '--second'\s.*Did you mean --seconds/],
    ['bench cluster 16 4x', /^polyraft: "4x" is no number of regions$/m],
    ['bench regions nothing', /suite regions has no part "nothing": active, idle/],
    ['bench snapshot nothing', /suite snapshot has no part "nothing": steps, cluster/],
    [
      'bench raftlog append nothing',
      /suite raftlog has no part "nothing": append, recovery, churn/,
    ],
  ])('2: %s', async (line, output) => {
    const { code, stderr } = await polyraft(...line.split(' '))
    expect(stderr).toMatch(output)
    expect(code).toBe(2)
  })
})

test('2: an argument that is not UTF-8, which would become another key', async () => {
  const script = 'exec "$0" "$1" kv put "$(printf "\\377\\376")" v'
  const { code, stderr } = await outcome('sh', ['-c', script, process.execPath, main])
  expect(stderr).toMatch(/^polyraft: argument 3 has (bytes that are not UTF-8|U\+FFFD).*--hex/)
  expect(code).toBe(2)
})

test('the sample configuration is printed whole', async () => {
  const { stdout } = await polyraft('server', '--print-sample-config')
  expect(stdout).toBe(sampleConfig())
})

describe('failures are one line on standard error', () => {
  async function failure(...args: string[]): Promise<string> {
    const { code, stderr } = await polyraft(...args)
    expect(code).toBe(1)
    expect(stderr.trimEnd().split('\n')).toHaveLength(1)
    return stderr.trimEnd()
  }

  test('a misspelt key', async () => {
    const file = join(temporaryDirectory(), 'a.toml')
    writeFileSync(file, '[server]\nadr = "x:1"\n')
    expect(await failure('server', '-C', file)).toBe(
      `polyraft: ${file}: [server] adr: unknown key; did you mean "addr"?`,
    )
  })

  test('etcd behind PD, which is not there yet', async () => {
    expect(await failure('pd', '--etcd', 'http://a')).toMatch(/--etcd is not supported yet/)
  })

  test('log lines in the journal of PD', async () => {
    const dir = temporaryDirectory()
    const line = await failure('pd', '--data-dir', dir, '--log-file', join(dir, 'pd.log'))
    expect(line).toMatch(/is where PD keeps its data/)
  })

  test.each([
    ['server', 'pd.log', "a placement driver's"],
    ['pd', 'kv', "a store's"],
    ['server', 'pd', 'that of a whole cluster (polyraft up)'],
  ])('for %s the data directory of somebody else', async (command, name, whose) => {
    const dir = temporaryDirectory()
    mkdirSync(join(dir, name))
    expect(await failure(command, '--data-dir', dir)).toBe(
      `polyraft: the data directory ${dir} is ${whose}: choose another, or an empty one`,
    )
    expect(readdirSync(dir)).toEqual([name])
  })

  test.each(['server', 'pd'])('a file in place of the data directory of %s', async (command) => {
    const file = join(temporaryDirectory(), 'file')
    writeFileSync(file, '')
    expect(await failure(command, '--data-dir', file)).toBe(
      `polyraft: cannot use ${file} (--data-dir) for data: a file is in its place`,
    )
  })

  test.skipIf(process.platform !== 'linux').each(['server', 'pd'])(
    'a place where %s can make no directory',
    async (command) => {
      expect(await failure(command, '--data-dir', '/proc/polyraft/data')).toBe(
        'polyraft: cannot use /proc/polyraft/data (--data-dir) for data: no directory can be made there',
      )
    },
  )

  test('no PD, for a command', async () => {
    const line = await failure('kv', 'get', 'k', '--pd', '127.0.0.1:1', '--timeout-ms', '300')
    expect(line).toBe('polyraft: no PD answers at 127.0.0.1:1: connect ECONNREFUSED 127.0.0.1:1')
  })

  test.skipIf(process.getuid?.() === 0)('a directory that may not be written', async () => {
    const dir = temporaryDirectory()
    chmodSync(dir, 0o500)
    expect(await failure('server', '--data-dir', dir)).toMatch(/may not read and write it/)
  })

  test('ports in use, each with its flag', async () => {
    const dir = temporaryDirectory()
    const taken = `127.0.0.1:${await occupiedPort()}`
    const common = ['server', '--data-dir', dir, '--log-level', 'silent']
    expect(await failure(...common, '--addr', taken)).toContain(`${taken} (--addr) is in use`)
    const status = ['--addr', '127.0.0.1:0', '--status-addr', taken]
    expect(await failure(...common, ...status)).toContain(`${taken} (--status-addr) is in use`)
    const pd = ['pd', '--data-dir', dir, '--log-level', 'silent', '--client-addr', taken]
    expect(await failure(...pd)).toContain(`${taken} is in use`)
  })
})
