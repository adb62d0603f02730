import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { PolyraftError } from '../../src/base/errors.ts'
import { MIB } from '../../src/base/limits.ts'
import { type ConfigSource, loadConfig } from '../../src/server/config.ts'
import { sampleConfig, writeToml } from '../../src/server/config-sample.ts'
import { SETTINGS } from '../../src/server/config-settings.ts'
import { WrongUsage } from '../../src/server/wrong-usage.ts'
import { defaultStoreConfig, mustBeSafeConfig } from '../../src/store/config.ts'

let dir = ''
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'polyraft-config-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

function fileOf(text: string): string {
  const file = join(dir, 'node.toml')
  writeFileSync(file, text)
  return file
}

function load(text: string, flags: ConfigSource['flags'] = {}) {
  return loadConfig({ file: fileOf(text), flags })
}

function problem(text: string, flags: ConfigSource['flags'] = {}): string {
  try {
    load(text, flags)
  } catch (error) {
    expect(error).toBeInstanceOf(PolyraftError)
    expect((error as PolyraftError).code).toBe('ConfigInvalid')
    return (error as PolyraftError).message.replace(`${join(dir, 'node.toml')}: `, 'FILE ')
  }
  throw new Error('it was accepted')
}

describe('defaults', () => {
  test('without a file they are the defaults of the store, and safe', () => {
    const { config } = loadConfig({})
    expect(config.store).toEqual(defaultStoreConfig())
    expect(() => mustBeSafeConfig(config.store)).not.toThrow()
    expect(config.pdEndpoints).toEqual(['127.0.0.1:2379'])
    expect(config.peerAddr).toEqual({ host: '127.0.0.1', port: 0 })
  })

  test('the sample file parses back to the defaults and has every key', () => {
    const sample = sampleConfig()
    expect(load(sample)).toEqual(loadConfig({}))
    for (const { name } of SETTINGS) expect(sample).toContain(`\n${name.split('.').at(-1)} = `)
  })

  test('what was loaded can be written and loaded again', () => {
    const loaded = load('[server]\nlabels = { zone = "a b", "x-y" = "\\"q\\"" }\n', {
      'raftstore.raft-base-tick-interval': '250ms',
      'raft-engine.target-file-size': '3MiB',
    })
    expect(load(writeToml(loaded.values, false))).toEqual(loaded)
  })
})

describe('values', () => {
  test('units, sections of tikv-server, and flags that win', () => {
    const { config } = load(
      `
      [server]
      addr = "10.0.0.1:20160"
      labels = { zone = "z1" }
      [raftstore]
      raft-base-tick-interval = "1s"
      raft-store-max-leader-lease = "9s"
      raft-entry-max-size = "4MB"
      store-io-pool-size = 2
      [raft-engine]
      target-file-size = 1048576
      [storage.block-cache]
      capacity = "0.5GiB"
      [storage]
      reserve-space = "0MB"
      [rocksdb]
      option-set = "large"
      max-background-jobs = 9
      [pd]
      endpoints = ["http://10.0.0.9:2379/"]
      [log.file]
      filename = "a.log"
      `,
      { 'server.labels': 'zone=z2,host=h1', 'pd.endpoints': 'a:1, b:2', 'log.level': 'warn' },
    )
    expect(config.addr).toEqual({ host: '10.0.0.1', port: 20160 })
    expect(config.peerAddr).toEqual({ host: '10.0.0.1', port: 0 })
    expect(config.labels).toEqual({ zone: 'z2', host: 'h1' })
    expect(config.pdEndpoints).toEqual(['a:1', 'b:2'])
    expect(config.logLevel).toBe('warn')
    expect(config.logFile).toBe('a.log')
    expect(config.store).toMatchObject({
      raftBaseTickIntervalMs: 1000,
      raftStoreMaxLeaderLeaseMs: 9000,
      raftEntryMaxSize: 4 * MIB,
      storeIoPoolSize: 2,
      raftLogSegmentBytes: MIB,
      rocksdbBlockCacheBytes: 512 * MIB,
      rocksdbWriteBufferBytes: 'auto',
      rocksdbOptionSet: 'large',
      rocksdbMaxBackgroundJobs: 9,
      reserveSpaceBytes: 0,
    })
  })
})

test('one port serves several hosts, and 0 is any', () => {
  const text = '[server]\naddr = "a:1"\npeer-addr = "b:1"\nstatus-addr = "c:1"'
  expect(load(text).config.statusAddr.port).toBe(1)
  expect(load('[server]\naddr = "a:0"\nstatus-addr = "a:0"').config.addr.port).toBe(0)
})

test('no time is longer than a timer can wait', () => {
  for (const { name, kind, max } of SETTINGS) {
    if (kind === 'duration') expect(max, name).toBeLessThan(2 ** 31)
  }
})

describe('refused, with file, key and what to do', () => {
  test.each([
    ['[raftstor]\na = 1', 'FILE unknown section [raftstor]; did you mean "raftstore"?'],
    [
      '[raftstore]\nraft-base-tick-intervall = "1s"',
      'FILE [raftstore] raft-base-tick-intervall: unknown key; did you mean "raft-base-tick-interval"?',
    ],
    ['[server]\nendpoints = ["a:1"]', 'FILE [server] endpoints: unknown key; it belongs to [pd]'],
    ['[server]\nxyzzy = 1', 'FILE [server] xyzzy: unknown key'],
    ['server = 5', 'FILE server: expected a section [server], found 5'],
    ['[[server]]', 'FILE server: expected a section [server], found a list of tables'],
    ['[log]\nfile = "x"', 'FILE [log] file: expected a section [log.file], found "x"'],
    [
      '[raftstore]\napply-pool-size = nan',
      'FILE [raftstore] apply-pool-size: expected a whole number, found NaN',
    ],
    [
      '[rocksdb.defaultf]\nx = 1',
      'FILE unknown section [rocksdb.defaultf]; did you mean "defaultcf"?',
    ],
    [
      '[raftstore]\nraft-base-tick-interval = true',
      'FILE [raftstore] raft-base-tick-interval: expected a time with its unit, such as "10s" or "100ms", found true',
    ],
    [
      '[raftstore]\nraft-base-tick-interval = 100',
      'FILE [raftstore] raft-base-tick-interval: expected a time with its unit, such as "10s" or "100ms", found 100',
    ],
    [
      '[raftstore]\nmax-peer-down-duration = "10"',
      'FILE [raftstore] max-peer-down-duration: expected a time with its unit, such as "10s" or "100ms", found "10"',
    ],
    [
      '[raftstore]\nraft-entry-max-size = "8 bananas"',
      'FILE [raftstore] raft-entry-max-size: expected a size such as "64MiB", found "8 bananas"',
    ],
    [
      '[raftstore]\nraft-entry-max-size = "1GiB"',
      'FILE [raftstore] raft-entry-max-size: at most 8MiB is allowed',
    ],
    [
      '[raft-engine]\nrecovery-mode = "absolut"',
      'FILE [raft-engine] recovery-mode: expected one of tolerate-tail, absolute, found "absolut"; did you mean "absolute"?',
    ],
    [
      '[rocksdb]\noption-set = "huge"',
      'FILE [rocksdb] option-set: expected one of small, large, found "huge"',
    ],
    [
      '[storage]\nreserve-space = "some"',
      'FILE [storage] reserve-space: expected a size such as "64MiB", or "auto", found "some"',
    ],
    [
      '[raft-engine]\npurge-threshold = "1KiB"',
      'FILE [raft-engine] purge-threshold: at least 1MiB is needed',
    ],
    [
      '[raftstore]\nsnap-mgr-gc-tick-interval = "30d"',
      'FILE [raftstore] snap-mgr-gc-tick-interval: at most 24d is allowed',
    ],
    [
      '[storage.block-cache]\ncapacity = "5GiB"',
      'FILE [storage.block-cache] capacity: at most 4095MiB is allowed',
    ],
    ['[raftstore]\napply-pool-size = 0', 'FILE [raftstore] apply-pool-size: at least 1 is needed'],
    [
      '[raftstore]\napply-pool-size = 1.5',
      'FILE [raftstore] apply-pool-size: expected a whole number, found 1.5',
    ],
    ['[pd]\nendpoints = "a:1"', 'FILE [pd] endpoints: expected a list of strings, found "a:1"'],
    ['[pd]\nendpoints = []', 'FILE [pd] endpoints: at least one is needed'],
    [
      '[log]\nlevel = "inof"',
      'FILE [log] level: expected one of debug, info, warn, error, silent, found "inof"; did you mean "info"?',
    ],
    [
      '[server]\naddr = "nowhere"',
      'FILE [server] addr: "nowhere" is not an address of form host:port',
    ],
    [
      '[server]\naddr = "0.0.0.0:1"',
      'FILE [server] advertise-addr is needed when addr listens on every interface',
    ],
    [
      '[server]\naddr = "h:1"\nstatus-addr = "h:1"',
      'FILE [server] status-addr is taken by addr: choose another port',
    ],
    [
      '[server]\naddr = "h:1"\npeer-addr = "0.0.0.0:1"\nadvertise-peer-addr = "h:1"',
      'FILE [server] peer-addr is taken by addr: choose another port',
    ],
    [
      '[server]\npeer-addr = "127.0.0.1:20180"',
      'FILE [server] status-addr is taken by peer-addr: choose another port',
    ],
    [
      '[server]\nlabels = { zone = 1 }',
      'FILE [server] labels: expected a table of strings, such as { zone = "a" }, found a table',
    ],
    [
      '[security]\nca-path = "x.pem"',
      'FILE [security] ca-path: TLS is not supported yet; leave it empty',
    ],
    [
      '[raftstore]\nraft-store-max-leader-lease = "950ms"',
      'FILE [raftstore] raft-store-max-leader-lease must be at least one tick shorter than the election time-out (1000 ms)',
    ],
    [
      '[raftstore]\nraft-heartbeat-ticks = 10',
      'FILE [raftstore] raft-heartbeat-ticks must be below raft-election-timeout-ticks',
    ],
  ])('%j', (text, message) => {
    expect(problem(text)).toBe(message)
  })

  test('whoever is to blame: a flag is wrong usage, a file is not', () => {
    const blame = (flags: Record<string, string>, file?: string): unknown => {
      try {
        return loadConfig({ file, flags })
      } catch (error) {
        return error
      }
    }
    const good = fileOf('[server]\naddr = "127.0.0.1:1"')
    const bad = { 'server.addr': 'bad' }
    for (const error of [blame(bad), blame(bad, good), blame({ 'log.level': 'all' }, good)]) {
      expect(error).toBeInstanceOf(WrongUsage)
      expect((error as Error).message).toMatch(/^flags: /)
    }
    const error = blame({ 'log.level': 'info' }, fileOf('[server]\naddr = "bad"'))
    expect(error).not.toBeInstanceOf(WrongUsage)
    expect((error as Error).message).toMatch(/node\.toml: \[server\] addr: "bad"/)
  })

  test('a syntax error, a missing file, a bad flag', () => {
    expect(problem('[server]\naddr = "a:1"\n  bad key = 1\n')).toMatch(
      /^FILE line 3, column 7: not valid TOML: \w/,
    )
    expect(() => loadConfig({ file: join(dir, 'none.toml') })).toThrow(/none.toml: .*no such file/)
    expect(() => loadConfig({ flags: { 'server.labels': 'zone' } })).toThrow(
      'flags: [server] labels: expected k=v,…, found "zone"',
    )
    expect(() => loadConfig({ flags: { 'server.labels': 'zone=a,zone=b' } })).toThrow(
      'flags: [server] labels: "zone" is there twice, found "zone=a,zone=b"',
    )
  })
})
