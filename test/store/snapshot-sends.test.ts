/** Snapshots on their way out: how many, how often, and what ends them. */
import { beforeEach, describe, expect, it } from 'vitest'
import { KIB } from '../../src/base/limits.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { PeerTag } from '../../src/peer/messages.ts'
import { decodeMeta, type SnapshotMeta } from '../../src/snap/format.ts'
import type { SnapAnswer } from '../../src/store/snap-tasks.ts'
import { SnapshotProgress } from '../../src/store/snapshot-progress.ts'
import { SnapshotSends } from '../../src/store/snapshot-sends.ts'
import { FakePeer, HeldTransport, offer, Signals, VirtualTime } from './snapshot-support.ts'

const config = {
  concurrentSendSnapLimit: 2,
  snapIoMaxBytesPerSec: 1_000_000_000,
  snapGcTimeoutMs: 3_600_000,
}

let time: VirtualTime
let peers: Map<number, FakePeer>
let transport: HeldTransport
let signals: Signals
let progress: SnapshotProgress
let read: () => Promise<SnapAnswer>
let sends: SnapshotSends

function open(settings: Partial<typeof config> = {}): SnapshotSends {
  return new SnapshotSends({
    config: { ...config, ...settings },
    pool: { call: () => read(), close: async () => {} },
    transport,
    clock: time.clock,
    later: time.later,
    rest: () => 0,
    logger: silentLogger,
    progress,
    peer: (id) => peers.get(id)?.peer,
    notify: signals.notify,
    metaOf: (envelope) => decodeMeta(Buffer.from(envelope.message.snapshot!.data)),
  })
}

beforeEach(() => {
  time = new VirtualTime()
  peers = new Map([7, 8, 9, 10].map((id) => [id, new FakePeer(id)]))
  transport = new HeldTransport()
  signals = new Signals()
  progress = new SnapshotProgress(time.clock, silentLogger)
  read = async () => new Uint8Array(100)
  sends = open()
})

function meta(id = 7): SnapshotMeta {
  const files = [{ cf: 0, part: 0, bytes: 1000, rows: 1, crc: 1 } as const]
  return { region: peers.get(id)?.region ?? new FakePeer(id).region, index: 50, term: 6, files }
}

const told = (): [number, boolean][] =>
  signals.all.map(({ regionId, signal }) => {
    if (signal.tag !== PeerTag.SnapshotSent) throw new Error(`a signal ${signal.tag}`)
    return [regionId, signal.ok]
  })

describe('sends', () => {
  it('are few at a time; the others wait for their turn', () => {
    for (const id of [7, 8, 9, 10]) sends.send(offer(meta(id)))
    expect([sends.running, sends.queued]).toEqual([2, 2])
    expect(progress.of(7)).toEqual([{ phase: 'send', storeId: 2, bytes: 0, bytesTotal: 1000 }])
    transport.take().done('sent', '')
    expect([sends.running, sends.queued]).toEqual([2, 1])
    expect(transport.sendings.map(({ envelope }) => envelope.regionId)).toEqual([8, 9])
    expect(told()).toEqual([[7, true]])
    expect(progress.of(7)).toEqual([])
  })

  it('to a busy receiver are tried again, less and less often, and at last fail', async () => {
    const startMs = time.nowMs
    const triedMs: number[] = []
    sends.send(offer(meta()))
    while (told().length === 0 && time.nowMs < 120_000) {
      if (transport.sendings.length > 0) {
        triedMs.push(time.nowMs - startMs)
        transport.take().done('busy', 'later')
      }
      await time.advance(50)
    }
    expect(triedMs.slice(0, 5)).toEqual([0, 500, 1500, 3500, 7500])
    expect(triedMs).toHaveLength(11)
    expect(time.nowMs - startMs).toBeLessThan(60_000)
    expect(told()).toEqual([[7, false]])
  })

  it('that wait for a busy receiver leave their place to others', () => {
    for (const id of [7, 8, 9]) sends.send(offer(meta(id)))
    transport.take().done('busy', 'later')
    transport.take().done('busy', 'later')
    expect(transport.sendings.map(({ envelope }) => envelope.regionId)).toEqual([9])
  })

  it('that fail are told late, later each time, until one succeeds', async () => {
    const waits: number[] = []
    for (let i = 0; i < 8; i++) {
      sends.send(offer(meta()))
      transport.take().done('failed', 'broken')
      const count = told().length
      const fromMs = time.nowMs
      while (told().length === count) await time.advance(250)
      waits.push(time.nowMs - fromMs)
    }
    expect(waits).toEqual([250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000])
    expect(told().every(([, ok]) => !ok)).toBe(true)
    sends.send(offer(meta()))
    transport.take().done('sent', '')
    sends.send(offer(meta()))
    transport.take().done('failed', 'broken')
    await time.advance(250)
    expect(told().slice(-2)).toEqual([
      [7, true],
      [7, false],
    ])
  })

  it('ask for no more at once than may leave in a second', () => {
    sends = open({ snapIoMaxBytesPerSec: 12 * KIB })
    sends.send(offer(meta()))
    expect(transport.take().source.chunkBytesMax).toBe(12 * KIB)
  })

  it('keep to the rate, all together', async () => {
    sends = open({ snapIoMaxBytesPerSec: 1000 })
    sends.send(offer(meta(7)))
    sends.send(offer(meta(8)))
    const done: number[] = []
    for (const { source } of transport.sendings) {
      void source.read(0, 0, 100).then(() => done.push(time.nowMs))
      void source.read(0, 100, 100).then(() => done.push(time.nowMs))
    }
    await time.advance(1000)
    expect(done).toEqual([1000, 1100, 1200, 1300])
  })
})

describe('a send is given up at its next chunk', () => {
  const changes: [string, (peer: FakePeer) => void, RegExp][] = [
    [
      'its leader stepped down',
      (peer) => {
        peer.isLeader = false
      },
      /leadership ended/,
    ],
    [
      'its leader leads again, later',
      (peer) => {
        peer.raft.term++
      },
      /leadership ended/,
    ],
    ['its region was destroyed', () => peers.delete(7), /leadership ended/],
    [
      'its receiver was removed',
      (peer) => {
        peer.region = { ...peer.region, peers: peer.region.peers.filter(({ id }) => id !== 102) }
      },
      /no replica any more/,
    ],
    [
      'it took too long',
      () => {
        time.nowMs += 3_600_001
      },
      /snap-gc-timeout/,
    ],
  ]

  it.each(changes)('when %s, and that is told at once', async (_when, change, reason) => {
    sends.send(offer(meta()))
    const { source, done } = transport.take()
    await expect(source.read(0, 0, 100)).resolves.toHaveLength(100)
    change(peers.get(7)!)
    const reading = expect(source.read(0, 100, 100)).rejects.toThrow(reason)
    await time.advance(1)
    await reading
    done('failed', 'the link was closed')
    expect(told()).toEqual([[7, false]])
    expect(sends.running).toBe(0)
    expect(progress.stats().snapshots_send_failures).toBe(1)
  })

  it.each(changes.slice(0, 4))('or never begins, when %s meanwhile', (_when, change) => {
    for (const id of [8, 9, 7]) sends.send(offer(meta(id)))
    change(peers.get(7)!)
    transport.take().done('sent', '')
    expect(told()).toEqual([
      [8, true],
      [7, false],
    ])
    expect(sends.queued).toBe(0)
  })
})

it('bug 23: a disk that hangs ends a send instead of holding its place for ever', async () => {
  sends = open({ concurrentSendSnapLimit: 1 })
  read = () => new Promise(() => {})
  sends.send(offer(meta(7)))
  sends.send(offer(meta(8)))
  const { source, done } = transport.take()
  // As the link does.
  const sending = source.read(0, 0, 100).catch((error: Error) => done('failed', error.message))
  await time.advance(29_000)
  expect(told()).toEqual([])
  await time.advance(2000)
  await sending
  expect(transport.take().envelope.regionId).toBe(8)
  await time.advance(1000)
  expect(told()).toEqual([[7, false]])
})

it('a store that closes leaves no timer', async () => {
  sends.send(offer(meta(7)))
  sends.send(offer(meta(8)))
  transport.take().done('busy', 'later')
  transport.take().done('failed', 'broken')
  expect(time.waiting).toBe(2)
  sends.close()
  expect(time.waiting).toBe(0)
  sends.send(offer(meta(9)))
  expect(transport.sendings).toEqual([])
})
