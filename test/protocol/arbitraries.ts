/** Random requests, responses and region errors. */
import fc from 'fast-check'
import {
  errorResponse,
  OK_RESPONSE,
  pairsResponse,
  RawKind,
  RawRequest,
  type RawResponse,
  type RegionError,
  type ResponseSink,
  regionErrorResponse,
  valueResponse,
} from '../../src/protocol/raw.ts'
import type { Peer, PeerRole, Region } from '../../src/region/region.ts'

export const noSink: ResponseSink = {
  respond() {
    throw new Error('nothing is answered here')
  },
}

const id = fc.maxSafeNat()
export const buffer: fc.Arbitrary<Buffer> = fc
  .uint8Array({ maxLength: 300 })
  .map((bytes) => Buffer.from(bytes))
export const kind: fc.Arbitrary<RawKind> = fc.constantFrom(...Object.values(RawKind))

const context = fc.record({
  regionId: id,
  confVer: id,
  version: id,
  peerId: id,
  storeId: id,
  term: id,
  clusterId: id,
  durationMsMax: id,
  replicaRead: fc.boolean(),
  apiVersion: fc.nat(3),
})

const pairs = fc.array(fc.tuple(buffer, buffer), { maxLength: 8 })

/** What the operands of each kind are on the wire; everything else keeps its default. */
function operands(of: RawKind): fc.Arbitrary<Partial<RawRequest>> {
  const cf = fc.constantFrom('', 'default', 'write', 'größe')
  const ttl = fc.constantFrom([], [60])
  switch (of) {
    case RawKind.Get:
    case RawKind.Delete:
      return fc.record({ cf, key: buffer })
    case RawKind.Put:
      return fc.record({ cf, key: buffer, value: buffer, ttls: ttl })
    case RawKind.BatchGet:
    case RawKind.BatchDelete:
      return fc.record({ cf, keys: fc.array(buffer, { maxLength: 8 }) })
    case RawKind.BatchPut:
      return fc.record({ cf, list: pairs, ttls: fc.array(id, { maxLength: 3 }) }).map((some) => ({
        cf: some.cf,
        keys: some.list.map(([key]) => key),
        values: some.list.map(([, value]) => value),
        ttls: some.ttls,
      }))
    case RawKind.Scan:
      return fc.record({
        cf,
        key: buffer,
        endKey: buffer,
        limit: fc.nat(0xffff_ffff),
        keyOnly: fc.boolean(),
        reverse: fc.boolean(),
      })
  }
}

export const request: fc.Arbitrary<RawRequest> = kind.chain((of) =>
  fc
    .tuple(context, operands(of), id)
    .map(([head, tail, token]) => Object.assign(new RawRequest(of, noSink, token), head, tail)),
)

const peer: fc.Arbitrary<Peer> = fc.record({
  id,
  storeId: id,
  role: fc.nat(3).map((role) => role as PeerRole),
})
const region: fc.Arbitrary<Region> = fc.record({
  id,
  startKey: buffer,
  endKey: buffer,
  epoch: fc.record({ confVer: id, version: id }),
  peers: fc.array(peer, { maxLength: 4 }),
})
const message = fc.string({ minLength: 1, maxLength: 40 })
const reason = fc.string({ maxLength: 40 })
const regionId = id

export const regionError: fc.Arbitrary<RegionError> = fc.oneof(
  fc.record({
    code: fc.constant('NotLeader' as const),
    message,
    regionId,
    leader: fc.option(peer, { nil: undefined }),
  }),
  fc.record({
    code: fc.constantFrom('RegionNotFound', 'RegionNotInitialized', 'RecoveryInProgress'),
    message,
    regionId,
  }),
  fc.record({
    code: fc.constant('KeyNotInRegion' as const),
    message,
    regionId,
    key: buffer,
    startKey: buffer,
    endKey: buffer,
  }),
  fc.record({
    code: fc.constant('EpochNotMatch' as const),
    message,
    currentRegions: fc.array(region, { maxLength: 3 }),
  }),
  fc.record({ code: fc.constant('ServerIsBusy' as const), message, reason, backoffMs: id }),
  fc.record({ code: fc.constantFrom('StaleCommand', 'UndeterminedResult'), message }),
  fc.record({
    code: fc.constant('StoreNotMatch' as const),
    message,
    requestStoreId: id,
    actualStoreId: id,
  }),
  fc.record({ code: fc.constant('RaftEntryTooLarge' as const), message, regionId, entrySize: id }),
  fc.record({ code: fc.constant('ReadIndexNotReady' as const), message, reason, regionId }),
  fc.record({
    code: fc.constant('DiskFull' as const),
    message,
    reason,
    storeIds: fc.array(id, { maxLength: 3 }),
  }),
  fc.record({
    code: fc.constant('MismatchPeerId' as const),
    message,
    requestPeerId: id,
    storePeerId: id,
  }),
)

/** A response that a command of this kind can have. */
export function response(of: RawKind): fc.Arbitrary<RawResponse> {
  const failures = [regionError.map(regionErrorResponse), message.map(errorResponse)]
  if (of === RawKind.Get) {
    return fc.oneof(...failures, fc.option(buffer, { nil: undefined }).map(valueResponse))
  }
  if (of === RawKind.BatchGet || of === RawKind.Scan) {
    return fc.oneof(
      ...failures,
      pairs.map((list) => pairsResponse(list.flat())),
    )
  }
  return fc.oneof(...failures, fc.constant(OK_RESPONSE))
}
