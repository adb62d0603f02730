import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AssertionError } from '../../src/base/assert.ts'
import type * as pb from '../../src/protocol/pd-messages.ts'
import { messageCodec } from '../../src/protocol/protobuf.ts'

const peer = messageCodec<pb.WirePeer>('metapb.Peer')
const stamp = messageCodec<pb.WireTimestamp>('pdpb.Timestamp')
const region = messageCodec<pb.WireRegion>('metapb.Region')
const query = messageCodec<pb.QueryRegionResponse>('pdpb.QueryRegionResponse')

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')

describe('numbers', () => {
  test('u64 from 0 to 2^53-1 and nothing else', () => {
    fc.assert(
      fc.property(fc.nat({ max: Number.MAX_SAFE_INTEGER }), (id) => {
        expect(peer.decode(peer.encode({ id, storeId: 0, role: 0 })).id).toBe(id)
      }),
    )
    for (const id of [0, 1, 127, 128, 2 ** 32 - 1, 2 ** 32, 2 ** 35, Number.MAX_SAFE_INTEGER]) {
      expect(peer.decode(peer.encode({ id, storeId: 0, role: 0 })).id).toBe(id)
    }
    for (const id of [-1, 1.5, 2 ** 53, Number.NaN]) {
      expect(() => peer.encode({ id, storeId: 0, role: 0 })).toThrow(AssertionError)
    }
  })

  test('a u64 of 2^53 is refused, with the number', () => {
    expect(() => peer.decode(hex('08 8080808080808010'))).toThrow(/above 2\^53-1/)
  })

  test('a varint without an end is refused', () => {
    expect(() => peer.decode(hex('08 ffff'))).toThrow(RangeError)
    expect(() => peer.decode(hex('08 ffffffffffffffffffffff01'))).toThrow(RangeError)
  })

  test('i64 with both signs', () => {
    for (const physical of [0, 1, -1, -(2 ** 40), 2 ** 62, Number.MIN_SAFE_INTEGER]) {
      const bytes = stamp.encode({ physical, logical: 0, suffixBits: 0 })
      expect(stamp.decode(bytes).physical).toBe(physical)
    }
  })

  test('lists of u64, packed and one by one', () => {
    const request = messageCodec<pb.QueryRegionRequest>('pdpb.QueryRegionRequest')
    expect(request.decode(hex('1a 03 01ac02')).ids).toEqual([1, 300])
    expect(request.decode(hex('18 01 18 ac02')).ids).toEqual([1, 300])
    expect(() => request.decode(hex('1a 09 01'))).toThrow(RangeError)
  })
})

describe('messages', () => {
  test('absent fields read as zero, empty and null', () => {
    const empty = region.decode(Buffer.alloc(0))
    expect(empty.id).toBe(0)
    expect(empty.startKey).toHaveLength(0)
    expect(empty.startKey).toBeInstanceOf(Uint8Array)
    expect(empty.regionEpoch).toBeNull()
    expect(empty.peers).toEqual([])
  })

  test('a region as TiKV writes it', () => {
    const bytes = region.encode({
      id: 2,
      startKey: Buffer.from('a'),
      endKey: Buffer.from([0xff]),
      regionEpoch: { confVer: 1, version: 300 },
      peers: [
        { id: 3, storeId: 1, role: 0 },
        { id: 4, storeId: 5, role: 1 },
      ],
    })
    expect(bytes).toEqual(
      hex(
        '08 02  12 01 61  1a 01 ff  22 05 08 01 10 ac02  2a 04 08 03 10 01  2a 06 08 04 10 05 18 01',
      ),
    )
  })

  test('a map by u64 keeps its ids', () => {
    const info = { region: undefined, leader: undefined, downPeers: [], pendingPeers: [] }
    const ids = [1, 12_345_678, Number.MAX_SAFE_INTEGER]
    const bytes = query.encode({
      header: undefined,
      keyIdMap: [],
      prevKeyIdMap: [],
      regionsById: Object.fromEntries(
        ids.map((id) => [id, { ...info, leader: { id, storeId: 1, role: 0 as const } }]),
      ),
    })
    const { regionsById } = query.decode(bytes)
    expect(Object.keys(regionsById).map(Number)).toEqual(ids)
    for (const id of ids) expect(regionsById[id]?.leader?.id).toBe(id)
  })
})
