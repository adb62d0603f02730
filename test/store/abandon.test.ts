/** The requests of a store that ends: each is answered, and none is told more than is known. */
import { expect, it } from 'vitest'
import { silentLogger } from '../../src/base/logger.ts'
import { openMemoryEngine } from '../../src/engine/memory-engine.ts'
import { RawKind, type RawRequest } from '../../src/protocol/raw.ts'
import { MessageType } from '../../src/raft/types.ts'
import { abandonRequests } from '../../src/store/abandon.ts'
import { RoundReads } from '../../src/store/round-reads.ts'
import { PeerFixture, regionOf } from '../peer/fixture.ts'

it('a request that waits anywhere is answered once, as undetermined', () => {
  const fixture = new PeerFixture(regionOf('1 2 3'))
  fixture.lead()
  const { peer } = fixture
  const reads = new RoundReads({
    engine: openMemoryEngine(),
    logger: silentLogger,
    release: () => {},
    scheduler: { schedule: () => {} },
    later: () => () => {},
    isCurrent: () => true,
    count: () => {},
  })
  const taken: RawRequest[] = []
  const request = (kind: RawKind): RawRequest => {
    const one = fixture.request(kind)
    taken.push(one)
    return one
  }
  // Committed, but not applied; on its way to a quorum; held back behind that one.
  fixture.round(request(RawKind.Put))
  fixture.commit()
  fixture.round(request(RawKind.Put))
  fixture.round(request(RawKind.Put))
  expect([peer.proposals.length, peer.proposals.undecided, peer.writes.length]).toEqual([2, 1, 1])
  // Asks a quorum; was confirmed, and waits for apply.
  fixture.nowMs += 10_000
  fixture.round(request(RawKind.Get))
  const context = fixture.sent.findLast(({ message }) => {
    return message.type === MessageType.Heartbeat
  })!.message.context
  fixture.receive(2, { type: MessageType.HeartbeatResponse, term: peer.raft.term, context })
  expect(peer.reads.hasConfirmed).toBe(true)
  fixture.nowMs += 10_000
  fixture.round(request(RawKind.Get))
  // Of a round that does not end, and not looked at yet.
  peer.addRead(request(RawKind.Get))
  reads.read(request(RawKind.Get), peer.region)
  peer.mailbox.pushForced(request(RawKind.Put))
  expect(fixture.answers).toEqual([])

  const released: RawRequest[] = []
  abandonRequests([peer], reads, (one) => released.push(one))
  expect(released).toHaveLength(8)
  expect(new Set(released)).toEqual(new Set(taken))
  expect(fixture.answers.map(({ regionError }) => regionError?.code)).toEqual(
    taken.map(() => 'UndeterminedResult'),
  )
  abandonRequests([peer], reads, (one) => released.push(one))
  expect(released).toHaveLength(8)
})
