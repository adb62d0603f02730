/** Snapshots on their way in: who may come, what ends them, and a disk that is full. */
import { beforeEach, describe, expect, it } from 'vitest'
import { MIB } from '../../src/base/limits.ts'
import { type MemoryEngine, openMemoryEngine } from '../../src/engine/memory-engine.ts'
import { FaultyFileSystem } from '../../src/env/faulty-fs.ts'
import { MemoryFileSystem } from '../../src/env/memory-fs.ts'
import { readFile } from '../../src/env/port.ts'
import { PeerTag } from '../../src/peer/messages.ts'
import { readMeta } from '../../src/snap/files.ts'
import { filePath, type SnapshotMeta, snapshotBytes, snapshotName } from '../../src/snap/format.ts'
import { Snapshots } from '../../src/store/snapshots.ts'
import type { RaftEnvelope, SnapshotSink } from '../../src/transport/port.ts'
import { isRefusal } from '../../src/transport/snapshot-stream.ts'
import { build, DIR, fill } from '../snap/support.ts'
import { type LogLine, recordingLogger } from '../transport/fixtures.ts'
import {
  FakePeer,
  HeldTransport,
  InlineCalls,
  offer,
  Signals,
  settle,
  TERM,
  VirtualTime,
} from './snapshot-support.ts'

const MINUTE_MS = 60_000

let time: VirtualTime
let peers: Map<number, FakePeer>
let signals: Signals
let disk: MemoryFileSystem
let fs: FaultyFileSystem
let calls: InlineCalls
let engine: MemoryEngine
let freeBytes: number
let failures: Error[]
let lines: LogLine[]
let snapshots: Snapshots
let source: MemoryFileSystem
let sourceEngine: MemoryEngine

beforeEach(() => {
  time = new VirtualTime()
  peers = new Map([7, 8, 9].map((id) => [id, new FakePeer(id)]))
  signals = new Signals()
  disk = new MemoryFileSystem()
  disk.makeDirectory(DIR)
  fs = new FaultyFileSystem(disk)
  engine = openMemoryEngine()
  calls = new InlineCalls(engine, fs)
  freeBytes = 100 * MIB
  failures = []
  lines = []
  snapshots = open(calls)
  source = new MemoryFileSystem()
  source.makeDirectory(DIR)
  sourceEngine = openMemoryEngine()
  fill(sourceEngine, 900, 200)
})

function open(pool: InlineCalls): Snapshots {
  return new Snapshots({
    config: {
      concurrentSendSnapLimit: 2,
      concurrentRecvSnapLimit: 2,
      snapIoMaxBytesPerSec: 1e9,
      snapGcTimeoutMs: 60 * MINUTE_MS,
      snapMgrGcTickIntervalMs: MINUTE_MS,
    },
    pool,
    transport: new HeldTransport() as never,
    room: () => freeBytes,
    clock: time.clock,
    later: time.later,
    rest: () => 0,
    logger: recordingLogger(lines),
    peer: (id) => peers.get(id)?.peer,
    notify: signals.notify,
    fail: (error) => failures.push(error),
  })
}

const made = (id = 7): Promise<SnapshotMeta> =>
  build(sourceEngine, source, { region: peers.get(id)?.region ?? new FakePeer(id).region })

function take(envelope: RaftEnvelope): SnapshotSink {
  const sink = snapshots.onOffer(envelope)
  if (isRefusal(sink)) throw new Error(`refused: ${sink.reason}`)
  return sink
}

function refusal(envelope: RaftEnvelope): [boolean, string] {
  const answer = snapshots.onOffer(envelope)
  if (!isRefusal(answer)) throw new Error('it was not refused')
  return [answer.busy, answer.reason]
}

/** As the link does: in chunks, with an end that the sink hears of. */
async function carryTo(sink: SnapshotSink, meta: SnapshotMeta, until = meta.files.length) {
  try {
    for (let file = 0; file < until; file++) {
      const path = filePath(DIR, snapshotName('gen', meta), meta.files[file]!)
      const bytes = readFile(source, path)
      for (let at = 0; at < bytes.length; at += 20_000) {
        await sink.write(file, at, Buffer.from(bytes.subarray(at, at + 20_000)))
      }
    }
    if (until === meta.files.length) await sink.finish()
  } catch (error) {
    sink.abort()
    await settle()
    throw error
  }
}

describe('an offer', () => {
  it('is taken, and every byte of it is counted on the way', async () => {
    const meta = await made()
    const total = snapshotBytes(meta)
    const sink = take(offer(meta))
    await carryTo(sink, meta, 1)
    const { bytes } = meta.files[0]!
    expect(snapshots.progress.of(7)).toEqual([
      { phase: 'receive', storeId: 1, bytes, bytesTotal: total },
    ])
    expect(snapshots.stats().snapshots_promised_bytes).toBe(2 * total - bytes)
  })

  it('is refused when it is of no use', async () => {
    const meta = await made()
    const at = (change: (peer: FakePeer) => void, envelope = offer(meta)): [boolean, string] => {
      const peer = new FakePeer()
      change(peer)
      peers.set(7, peer)
      return refusal(envelope)
    }
    expect(at(() => peers.delete(7), { ...offer(meta), regionId: 70 })[1]).toMatch(/not on this/)
    expect(
      at((peer) => {
        peer.raft.commitIndex = 51
      }),
    ).toEqual([false, 'everything up to 51 is here'])
    expect(
      at((peer) => {
        peer.raft.term = TERM + 1
      })[1],
    ).toMatch(/term 7, before 8/)
    expect(at(() => {}, { ...offer(meta), to: { id: 999, storeId: 2, role: 0 } })[1]).toMatch(/102/)
    expect(at(() => {}, offer(await made(8)) && { ...offer(meta), regionId: 8 })[1]).toMatch(
      /another region/,
    )
  })

  it('has to wait while others of the region, or too many, are under way', async () => {
    const metas = [await made(7), await made(8), await made(9)] as const
    take(offer(metas[0]))
    expect(refusal(offer(metas[0]))[0]).toBe(true)
    peers.get(8)!.takesSnapshot = false
    expect(refusal(offer(metas[1]))[0]).toBe(true)
    peers.get(8)!.takesSnapshot = true
    const second = take(offer(metas[1]))
    expect(refusal(offer(metas[2]))).toEqual([true, '2 snapshots are being received'])
    second.abort()
    take(offer(metas[2]))
  })

  it('has to wait when the room is promised to others', async () => {
    const metas = [await made(7), await made(8)] as const
    const total = snapshotBytes(metas[0])
    freeBytes = 3 * total
    const first = take(offer(metas[0]))
    expect(refusal(offer(metas[1]))).toEqual([true, `no room on disk for ${total} bytes`])
    expect(lines.at(-1)!.message).toBe('no room on disk for a snapshot')
    first.abort()
    const again = take(offer(metas[1]))
    await carryTo(again, metas[1])
    // What came is on the disk; the data itself is still to come.
    freeBytes -= total
    expect(snapshots.stats().snapshots_promised_bytes).toBe(total)
    expect(refusal(offer(metas[0]))[0]).toBe(true)
  })
})

describe('a receipt', () => {
  const changes: [string, (peer: FakePeer) => void, RegExp][] = [
    ['its region was destroyed', () => peers.delete(7), /not on this store/],
    ['another peer took its place', () => peers.set(7, replaced()), /the peer here is 202/],
    [
      'its region caught up',
      (peer) => {
        peer.raft.commitIndex = 60
      },
      /up to 60 is here/,
    ],
    [
      'another leader came',
      (peer) => {
        peer.raft.term++
      },
      /before 8/,
    ],
    [
      'it took too long',
      () => {
        time.nowMs += 61 * MINUTE_MS
      },
      /snap-gc-timeout/,
    ],
  ]

  function replaced(): FakePeer {
    const peer = new FakePeer()
    return Object.assign(peer, { self: { id: 202, storeId: 2, role: 0 } })
  }

  it.each(changes)('is given up when %s, and leaves nothing', async (_when, change, reason) => {
    const meta = await made()
    const sink = take(offer(meta))
    await carryTo(sink, meta, 1)
    expect(disk.list(DIR)).not.toEqual([])
    change(peers.get(7)!)
    await expect(carryTo(sink, meta)).rejects.toThrow(reason)
    expect(disk.list(DIR)).toEqual([])
    expect(snapshots.stats()).toMatchObject({
      snapshots_receiving: 0,
      snapshots_promised_bytes: 0,
      snapshots_receive_failures: 1,
    })
    expect(signals.all).toEqual([])
  })

  it('that takes long is in the log', async () => {
    const meta = await made()
    const sink = take(offer(meta))
    await carryTo(sink, meta, 1)
    time.nowMs += 11_000
    await carryTo(sink, meta, 1).catch(() => {})
    const second = take(offer(meta))
    time.nowMs += 11_000
    await carryTo(second, meta)
    const told = lines.filter(({ message }) => message === 'a snapshot is on its way')
    expect(told.at(-1)!.fields).toMatchObject({
      region: 7,
      phase: 'receive',
      store: 1,
      seconds: 11,
    })
  })
})

describe('a full disk', () => {
  it('at any operation of a receipt ends that one, leaves nothing, and the store lives', async () => {
    const meta = await made()
    const operations = ['create', 'write', 'sync', 'rename', 'sync-directory'] as const
    const begun = fs.counts
    for (const operation of operations) {
      let wasHit = true
      for (let after = 0; wasHit; after++) {
        const before = begun[operation]
        fs.failOnce(operation, 'ENOSPC', after)
        const sink = take(offer(meta))
        const error = await carryTo(sink, meta).then(
          () => undefined,
          (thrown: NodeJS.ErrnoException) => thrown,
        )
        wasHit = error !== undefined
        if (wasHit) {
          expect(error!.code).toBe('ENOSPC')
          expect(disk.list(DIR)).toEqual([])
        } else {
          // It came beyond the last one of its kind: the receipt was whole.
          expect(begun[operation] - before).toBe(after)
          fs.failOnce(operation, 'ENOSPC', Number.POSITIVE_INFINITY)
          snapshots.accepted(7)
          snapshots.discard(offer(meta).message.snapshot!.data)
          await settle()
        }
      }
    }
    expect(failures).toEqual([])
    expect(snapshots.stats()).toMatchObject({ snapshots_receiving: 0, snapshots_promised_bytes: 0 })
  })

  it('that takes only a part of a chunk does the same', async () => {
    const meta = await made()
    fs.freeBytes = 30_000
    await expect(carryTo(take(offer(meta)), meta)).rejects.toThrow(/ENOSPC/)
    expect(disk.list(DIR)).toEqual([])
    fs.freeBytes = 10 * MIB
    await carryTo(take(offer(meta)), meta)
    expect(readMeta(disk, DIR, snapshotName('rev', meta))).toEqual(meta)
    expect(signals.all.map(({ signal }) => signal.tag)).toEqual([PeerTag.SnapshotArrived])
    expect(failures).toEqual([])
  })
})

describe('files that nobody uses', () => {
  const create = (name: string): void => disk.open(`${DIR}/${name}`, 'create').close()

  it('go at the second look; those in use stay', async () => {
    const meta = await made()
    // One that is received, one that is held, one that is installed, one under construction.
    await carryTo(take(offer(meta)), meta, 1)
    peers.get(8)!.heldSnapshot = offer(await made(8))
    peers.get(9)!.install = {}
    expect(snapshots.reserve(7)).toBe(true)
    const used = ['gen_7_6_90_0_0.rows', 'rev_8_6_50.meta', 'rev_8_6_50_0_0.rows', 'rev_9_6_1.meta']
    const waste = ['gen_70_6_90_0_0.rows', 'rev_70_6_50.meta', 'rev_70_6_50_0_0.rows', 'else.tmp']
    const halves = ['gen_8_6_12.meta.tmp', 'gen_8_6_12_0_0.rows']
    for (const name of [...used, ...waste, ...halves]) create(name)
    const own = disk.list(DIR).filter((name) => name.startsWith('rev_7_'))
    await time.advance(MINUTE_MS)
    expect(disk.list(DIR)).toHaveLength(own.length + used.length + waste.length + halves.length)
    await time.advance(MINUTE_MS)
    expect(disk.list(DIR)).toEqual([...own, ...used].sort())
    expect(snapshots.stats().snapshots_files_collected).toBe(waste.length + halves.length)
    await time.advance(10 * MINUTE_MS)
    expect(disk.list(DIR)).toEqual([...own, ...used].sort())
  })

  it('that could not be removed when it was due are removed later', async () => {
    const meta = await made()
    await carryTo(take(offer(meta)), meta)
    snapshots.accepted(7)
    fs.failOnce('remove', 'EIO')
    snapshots.discard(offer(meta).message.snapshot!.data)
    await settle()
    expect(disk.list(DIR)).not.toEqual([])
    await time.advance(2 * MINUTE_MS)
    expect(disk.list(DIR)).toEqual([])
  })

  it('that begin to be used between two looks stay', async () => {
    const meta = await made()
    snapshots.reserve(8)
    create('rev_7_6_50_0_0.rows')
    await time.advance(MINUTE_MS)
    await carryTo(take(offer(meta)), meta, 1)
    await time.advance(MINUTE_MS)
    expect(disk.list(DIR)).toContain('rev_7_6_50_0_0.rows')
    expect(snapshots.stats().snapshots_files_collected).toBe(0)
  })

  it('are not looked for by a store that has to do with no snapshots', async () => {
    await time.advance(10 * MINUTE_MS)
    expect(calls.requests).toEqual([])
  })

  it('are left to the next start by a store that closes', async () => {
    snapshots.reserve(8)
    await snapshots.close()
    await time.advance(10 * MINUTE_MS)
    expect(calls.requests).toEqual([])
    expect(time.waiting).toBe(0)
  })
})

it('sets made here are so many at most, and their files are kept until they are released', async () => {
  for (const id of [7, 8, 9, 7]) expect(snapshots.reserve(id)).toBe(true)
  expect(snapshots.reserve(8)).toBe(false)
  const meta = await build(sourceEngine, disk, { region: new FakePeer().region })
  const data = offer(meta).message.snapshot!.data
  snapshots.onBuilt({ regionId: 7, id: 1, meta: data, error: '' })
  snapshots.onBuilt({ regionId: 7, id: 2, meta: undefined, error: 'it was cancelled' })
  snapshots.release(undefined)
  await time.advance(5 * MINUTE_MS)
  expect(disk.list(DIR)).toHaveLength(4)
  snapshots.release(data)
  // Until its files are gone, none with the same names may be made.
  expect(snapshots.reserve(7)).toBe(false)
  await settle()
  expect(disk.list(DIR)).toEqual([])
  expect(snapshots.reserve(7)).toBe(true)
})
