/** Everything that users and strangers can do wrong to a running cluster: refused, and no harm done. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect as connectSocket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { KIB, MIB } from '../../src/base/limits.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { ColumnFamily } from '../../src/engine/port.ts'
import { openRocksDb } from '../../src/engine/rocksdb-engine.ts'
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  parseSegmentName,
} from '../../src/raftlog/format.ts'
import { STORE_IDENT_KEY } from '../../src/region/keys.ts'
import { frameOf } from '../../src/transport/frame.ts'
import { encodeHello, TRANSPORT_VERSION } from '../../src/transport/handshake.ts'
import { encode } from '../protocol/kvproto.ts'
import { occupiedPort } from '../server/fixtures.ts'
import { polyraft } from './cli.ts'
import { TestCluster } from './harness.ts'

const GOOD_ROWS = 'a\t1\nz\t2\n'
let cluster: TestCluster
let files: string

beforeAll(async () => {
  files = mkdtempSync(join(tmpdir(), 'polyraft-bad-'))
  cluster = await TestCluster.start({ stores: 1, regions: 2 })
  const good = await polyraft(['kv', 'load', '-', '--pd', cluster.pd], { input: GOOD_ROWS })
  expect(good.code).toBe(0)
})

afterAll(async () => {
  await cluster?.destroy()
  rmSync(files, { recursive: true, force: true })
})

/** What a command says that fails: one line, and the rows are as they were. */
async function refusal(...args: string[]): Promise<string> {
  return failure(1, args)
}

/** The same of what cannot be meant. */
async function usageError(...args: string[]): Promise<string> {
  return failure(2, args)
}

async function failure(exitCode: number, args: readonly string[]): Promise<string> {
  const { code, stderr } = await polyraft(args)
  expect(stderr).toMatch(/^polyraft: [^\n]+\n$/)
  expect(code).toBe(exitCode)
  return stderr.trimEnd()
}

async function expectUnchanged(): Promise<void> {
  const { stdout } = await polyraft(['kv', 'dump', '--pd', cluster.pd])
  expect(stdout).toBe(GOOD_ROWS)
}

function file(name: string, content: string): string {
  const path = join(files, name)
  writeFileSync(path, content)
  return path
}

describe('commands', () => {
  it('refuse bad keys, values, column families and ranges', async () => {
    const pd = ['--pd', cluster.pd]
    const long = 'k'.repeat(8 * KIB + 1)
    expect(await usageError('kv', 'put', '', 'v', ...pd)).toContain('at least one byte')
    expect(await usageError('kv', 'put', long, 'v', ...pd)).toContain(
      'the key has 8193 bytes, at most 8192 are allowed',
    )
    expect(await usageError('kv', 'put', 'k', 'v', '--cf', 'nope', ...pd)).toContain(
      'no column family "nope": use default, lock or write',
    )
    expect(await usageError('kv', 'scan', '--start', 'b', '--end', 'a', ...pd)).toContain(
      'the start of a scan lies behind its end',
    )
    const empty = await polyraft(['kv', 'scan', '--start', 'a', '--end', 'a', ...pd])
    expect(empty).toEqual({ code: 0, stdout: '', stderr: '' })
    await expectUnchanged()
  })

  it('tell the line of a row that cannot be loaded', async () => {
    const big = 'x'.repeat(8 * MIB + 1)
    for (const [name, row, why] of [
      ['value', `k\t${big}`, `the value has ${8 * MIB + 1} bytes, at most ${8 * MIB} are allowed`],
      ['key', `${big.slice(0, 8 * KIB + 1)}\tv`, 'the key has 8193 bytes, at most 8192'],
      ['no tab', 'nonsense', 'there is no TAB between key and value'],
    ] as const) {
      const path = file(name, `a\t1\n${row}\nz\t2\n`)
      const stopped = await refusal('kv', 'load', path, '--pd', cluster.pd)
      expect(stopped).toContain(`line 2: ${why}`)
      expect(stopped).toContain('1 row is known to be loaded')
      const skip = ['kv', 'load', path, '--on-error', 'skip', '--pd', cluster.pd]
      const { code, stderr } = await polyraft(skip)
      expect(stderr).toContain('skipped 1 line, the first: line 2: ')
      expect(code).toBe(0)
    }
    await expectUnchanged()
  })

  it('a value at the limit, which does not fit an entry with its key, is refused', async () => {
    const path = file('limit', `k\t${'x'.repeat(8 * MIB)}\n`)
    const load = ['kv', 'load', path, '--pd', cluster.pd]
    expect(await refusal(...load)).toMatch(/line 1: .*RaftEntryTooLarge/)
    const { code, stderr } = await polyraft([...load, '--on-error', 'skip'])
    expect(stderr).toMatch(/skipped 1 line, the first: line 1: .*RaftEntryTooLarge/)
    expect(code).toBe(0)
    await expectUnchanged()
  })
})

/** An answer of the store to bytes that no client of ours sends. */
function call(method: string, request: Buffer): Promise<ServiceError | Buffer> {
  const client = new Client(cluster.pids().stores[0]!.address, credentials.createInsecure())
  const same = (bytes: Buffer): Buffer => bytes
  return new Promise((resolve) => {
    client.makeUnaryRequest(`/tikvpb.Tikv/${method}`, same, same, request, (error, answer) => {
      client.close()
      resolve(error ?? answer!)
    })
  })
}

function streamEnd(message: Buffer): Promise<number> {
  const client = new Client(cluster.pids().stores[0]!.address, credentials.createInsecure())
  const same = (bytes: Buffer): Buffer => bytes
  const path = '/tikvpb.Tikv/BatchCommands'
  const stream = client.makeBidiStreamRequest(path, same, same, new Metadata(), {})
  return new Promise((resolve) => {
    stream.on('error', () => {})
    stream.on('status', ({ code }: { code: number }) => {
      client.close()
      resolve(code)
    })
    stream.resume()
    stream.write(message)
  })
}

describe('gRPC', () => {
  it('malformed messages end their call or stream with INVALID_ARGUMENT', async () => {
    const { pid } = cluster.pids().stores[0]!
    for (const bytes of [Buffer.from([0x0a]), Buffer.alloc(100, 0xff), Buffer.from('GET / HTTP')]) {
      expect(await call('RawPut', bytes)).toMatchObject({ code: status.INVALID_ARGUMENT })
      expect(await streamEnd(bytes)).toBe(status.INVALID_ARGUMENT)
    }
    expect(await call('RawChecksum', Buffer.alloc(0))).toMatchObject({
      code: status.UNIMPLEMENTED,
    })
    expect(cluster.pids().stores[0]!.pid).toBe(pid)
    await expectUnchanged()
  })

  it('a request for another cluster is refused', async () => {
    const put = { key: Buffer.from('k'), value: Buffer.from('v'), context: { cluster_id: 99 } }
    const answer = await call('RawPut', encode('RawPutRequest', put))
    expect(answer).toMatchObject({ code: status.INVALID_ARGUMENT })
    expect((answer as ServiceError).details).toContain('the request is for cluster 99')
    const requests = [{ RawPut: put }]
    const batch = encode('BatchCommandsRequest', { requests, request_ids: [1] })
    expect(await streamEnd(batch)).toBe(status.INVALID_ARGUMENT)
    await expectUnchanged()
  })
})

/** Resolves when the store has closed the connection. */
function sendToPeerPort(address: string, bytes: Buffer): Promise<void> {
  const [host, port] = address.split(':')
  const socket = connectSocket({ host: host!, port: Number(port) })
  return new Promise((resolve) => {
    socket.on('error', () => {})
    socket.on('close', () => resolve())
    socket.resume()
    socket.write(bytes)
  })
}

describe('the port for other stores', () => {
  it('closes a connection that sends nonsense, and the store goes on', async () => {
    const store = cluster.pids().stores[0]!
    const facts = (await (await fetch(`http://${store.status}/status`)).json()) as {
      peerAddress: string
      clusterId: number
    }
    const hello = (clusterId: number, toStoreId: number): Buffer =>
      frameOf(encodeHello({ version: TRANSPORT_VERSION, clusterId, fromStoreId: 77, toStoreId }))
    const good = hello(facts.clusterId, store.id)
    for (const bytes of [
      Buffer.from('GET / HTTP/1.1\r\nhost: a\r\n\r\n'),
      Buffer.alloc(64 * KIB, 0xff),
      Buffer.alloc(64 * KIB),
      hello(facts.clusterId + 1, store.id),
      hello(facts.clusterId, store.id + 1),
      Buffer.concat([good, Buffer.alloc(64 * KIB, 0xff)]),
      Buffer.concat([good, frameOf(Buffer.from('no envelope'))]),
    ]) {
      await sendToPeerPort(facts.peerAddress, bytes)
    }
    expect(cluster.pids().stores[0]!.pid).toBe(store.pid)
    const metrics = await (await fetch(`http://${store.status}/metrics`)).text()
    expect(metrics).toMatch(/^polyraft_transport_links_refused_total 2$/m)
    expect(metrics).toMatch(/^polyraft_transport_links_corrupt_total 5$/m)
    await expectUnchanged()
  })
})

/** Starts a store by hand, on free ports, in this directory. */
function server(dir: string, pd: string, ...more: string[]): Promise<string> {
  const ports = ['--addr', '127.0.0.1:0', '--status-addr', '127.0.0.1:0']
  const common = ['--data-dir', dir, '--pd-endpoints', pd, '--log-level', 'silent']
  return refusal('server', ...common, ...ports, ...more)
}

describe('data directories', () => {
  it('in use are refused', async () => {
    const { pd, stores } = cluster.pids()
    const store = stores[0]!
    expect(await server(store.dir, cluster.pd)).toContain(`is in use by process ${store.pid}:`)
    const dir = join(cluster.dir, 'pd')
    expect(await refusal('pd', '--data-dir', dir, '--client-addr', '127.0.0.1:0')).toContain(
      `is in use by process ${pd}:`,
    )
    await expectUnchanged()
  })

  it('a port for other stores that is in use is refused', async () => {
    const address = `127.0.0.1:${await occupiedPort()}`
    const line = await server(join(files, 'new'), cluster.pd, '--peer-addr', address)
    expect(line).toContain(`${address} for other stores is in use`)
  })

  it('a copy does not start beside the original', async () => {
    const store = cluster.pids().stores[0]!
    const copy = join(files, 'copy')
    cpSync(store.dir, copy, { recursive: true })
    expect(await server(copy, cluster.pd)).toContain(
      `store ${store.id} runs at ${store.address} already: this data directory is a copy`,
    )
    await expectUnchanged()
  })

  it('of another cluster, of another version or swapped are refused, untouched', async () => {
    const other = await TestCluster.start({ stores: 3 })
    try {
      const store = other.pids().stores[0]!
      await other.stop()
      const foreign = join(files, 'foreign')
      cpSync(store.dir, foreign, { recursive: true })
      expect(await server(foreign, cluster.pd)).toContain('this data directory belongs to cluster')

      await overwriteIdentVersion(join(foreign, 'kv'))
      expect(await server(foreign, cluster.pd)).toMatch(/format 9, this program reads 1/)

      const newer = join(files, 'newer')
      cpSync(store.dir, newer, { recursive: true })
      overwriteLogVersion(join(newer, 'raft'))
      expect(await server(newer, cluster.pd)).toMatch(/format 9, this program reads 1/)

      swap(join(other.dir, 'store-1'), join(other.dir, 'store-2'))
      await expectStoreRefused(other, /store \d says .*, which is the address of store \d/)
      swap(join(other.dir, 'store-1'), join(other.dir, 'store-2'))
      await other.up()
    } finally {
      await other.destroy()
    }
    await expectUnchanged()
  })
})

/** The others come up, and wait for the one that is told until they are stopped. */
async function expectStoreRefused(other: TestCluster, reason: RegExp): Promise<void> {
  const up = expect(other.up()).rejects.toThrow('exited with 0')
  await expect.poll(() => other.output, { timeout: 20_000 }).toMatch(reason)
  expect(await other.stop()).toBe(0)
  await up
}

async function overwriteIdentVersion(dir: string): Promise<void> {
  const options = { blockCacheBytes: MIB, writeBufferBytes: MIB, logger: silentLogger }
  const engine = await openRocksDb({ dir, ...options })
  const ident = Buffer.from(engine.get(ColumnFamily.Raft, STORE_IDENT_KEY)!)
  ident[0] = 9
  const batch = engine.newBatch()
  batch.put(ColumnFamily.Raft, STORE_IDENT_KEY, ident)
  engine.write(batch, { sync: true })
  await engine.close()
}

/** A segment as a later version would begin it. */
function overwriteLogVersion(dir: string): void {
  const path = join(dir, readdirSync(dir).find((name) => parseSegmentName(name) !== undefined)!)
  const bytes = readFileSync(path)
  bytes.set(encodeSegmentHeader({ ...decodeSegmentHeader(bytes)!, version: 9 }))
  writeFileSync(path, bytes)
}

function swap(a: string, b: string): void {
  cpSync(a, `${a}.swap`, { recursive: true })
  rmSync(a, { recursive: true })
  cpSync(b, a, { recursive: true })
  rmSync(b, { recursive: true })
  cpSync(`${a}.swap`, b, { recursive: true })
  rmSync(`${a}.swap`, { recursive: true })
}
