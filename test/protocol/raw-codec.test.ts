import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PolyraftError } from '../../src/base/errors.ts'
import { ELEMENTS_MAX } from '../../src/base/limits.ts'
import { ProtoWriter } from '../../src/protocol/proto-writer.ts'
import {
  OK_RESPONSE,
  RawKind,
  RawRequest,
  type RawResponse,
  type RegionError,
  regionErrorResponse,
} from '../../src/protocol/raw.ts'
import { decodeRequest } from '../../src/protocol/raw-request-decode.ts'
import { writeRequest } from '../../src/protocol/raw-request-encode.ts'
import { decodeResponse, writeResponse } from '../../src/protocol/raw-response.ts'
import * as arbitrary from './arbitraries.ts'
import { decode, encode, type Fields } from './kvproto.ts'

const NAMES: Record<RawKind, string> = {
  [RawKind.Get]: 'RawGet',
  [RawKind.BatchGet]: 'RawBatchGet',
  [RawKind.Put]: 'RawPut',
  [RawKind.BatchPut]: 'RawBatchPut',
  [RawKind.Delete]: 'RawDelete',
  [RawKind.BatchDelete]: 'RawBatchDelete',
  [RawKind.Scan]: 'RawScan',
}

function encodeRequest(request: RawRequest): Buffer {
  const writer = new ProtoWriter(8)
  writeRequest(writer, request)
  return writer.takeCopy()
}

function encodeResponse(kind: RawKind, response: RawResponse): Buffer {
  const writer = new ProtoWriter(8)
  writeResponse(writer, kind, response)
  return writer.takeCopy()
}

function requestFields(request: RawRequest): Fields {
  const context = {
    region_id: request.regionId,
    region_epoch: { conf_ver: request.confVer, version: request.version },
    peer: { id: request.peerId, store_id: request.storeId },
    term: request.term,
    replica_read: request.replicaRead,
    max_execution_duration_ms: request.durationMsMax,
    api_version: request.apiVersion,
    cluster_id: request.clusterId,
  }
  const { cf, key, value, keys, endKey, limit, reverse, ttls } = request
  const pairs = request.values.map((of, i) => ({ key: keys[i], value: of }))
  switch (request.kind) {
    case RawKind.Put:
      return { context, key, value, cf, ttl: ttls[0] ?? 0 }
    case RawKind.BatchPut:
      return { context, pairs, cf, ttls }
    case RawKind.Scan:
      return {
        context,
        start_key: key,
        limit,
        key_only: request.keyOnly,
        cf,
        reverse,
        end_key: endKey,
      }
    case RawKind.BatchGet:
    case RawKind.BatchDelete:
      return { context, keys, cf }
    default:
      return { context, key, cf }
  }
}

describe('requests', () => {
  it('of reflection are understood', () => {
    fc.assert(
      fc.property(arbitrary.request, (request) => {
        const bytes = encode(`${NAMES[request.kind]}Request`, requestFields(request))
        const { sink, token } = request
        expect(decodeRequest(request.kind, bytes, sink, token)).toEqual(request)
      }),
    )
  })

  it('are understood by reflection as they were meant', () => {
    fc.assert(
      fc.property(arbitrary.request, (request) => {
        const type = `${NAMES[request.kind]}Request`
        const meant = decode(type, encode(type, requestFields(request)))
        const seen = decode(type, encodeRequest(request))
        // An epoch or peer of zeros is left out here and written there.
        expect(pruned(seen)).toEqual(pruned(meant))
      }),
    )
  })

  it('have these bytes', () => {
    const put = new RawRequest(RawKind.Put, arbitrary.noSink, 0)
    put.regionId = 2
    put.confVer = 1
    put.version = 300
    put.peerId = 3
    put.storeId = 1
    put.key = Buffer.from('k')
    put.value = Buffer.from('v')
    expect(encodeRequest(put).toString('hex')).toBe(
      '0a0f 0802 1205 080110ac02 1a04 08031001 12016b 1a0176'.replaceAll(' ', ''),
    )
  })

  it('of real clients lose nothing but what is skipped', () => {
    const bytes = encode('RawPutRequest', {
      context: {
        region_id: 7,
        priority: 2,
        resolved_locks: [1, 2, 3],
        resource_group_tag: Buffer.from('tag'),
        request_source: 'external_unknown',
        resource_control_context: { resource_group_name: 'default', override_priority: 8 },
        keyspace_id: 4_294_967_295,
        made_up_fixed64: 5,
        made_up_fixed32: 6,
        cluster_id: 99,
        trace_control_flags: '18446744073709551615',
      },
      key: Buffer.from('key'),
      value: Buffer.from('value'),
      for_cas: true,
    })
    const request = decodeRequest(RawKind.Put, bytes, arbitrary.noSink, 4)
    const wanted = new RawRequest(RawKind.Put, arbitrary.noSink, 4)
    Object.assign(wanted, { regionId: 7, clusterId: 99 })
    Object.assign(wanted, { key: Buffer.from('key'), value: Buffer.from('value') })
    expect(request).toEqual(wanted)
  })

  it('take the old ttl of a batch for all of its keys, unless there are new ones', () => {
    const pairs = [{ key: Buffer.from('a'), value: Buffer.from('1') }]
    const of = (fields: Fields): readonly number[] => {
      const bytes = encode('RawBatchPutRequest', { pairs, ...fields })
      return decodeRequest(RawKind.BatchPut, bytes, arbitrary.noSink, 0).ttls
    }
    expect(of({})).toEqual([])
    expect(of({ ttl: 9 })).toEqual([9])
    expect(of({ ttl: 9, ttls: [5] })).toEqual([5])
  })

  it('with an id above 2^53-1 are refused', () => {
    const bytes = encode('RawGetRequest', { context: { region_id: '9007199254740992' } })
    expect(() => decodeRequest(RawKind.Get, bytes, arbitrary.noSink, 0)).toThrow(PolyraftError)
  })

  it.each([
    ['keys', RawKind.BatchGet, [0x12, 1, 107], 1],
    ['pairs', RawKind.BatchPut, [0x12, 3, 0x12, 1, 107], 1],
    ['times to live', RawKind.BatchPut, [0x30, 0], 1],
    ['times to live, packed', RawKind.BatchPut, [0x32, 4, 0, 0, 0, 0], 4],
  ])('hold a bounded number of %s', (_what, kind, field, elements) => {
    const message = (count: number): Buffer =>
      Buffer.alloc(field.length * count, Buffer.from(field))
    const read = (count: number) => decodeRequest(kind, message(count), arbitrary.noSink, 0)
    const most = ELEMENTS_MAX / elements
    expect(read(most).keys.length + read(most).ttls.length).toBe(ELEMENTS_MAX)
    expect(() => read(most + 1)).toThrow('a message holds more than 262144 keys: send fewer')
  })

  it('of random bytes throw nothing but PolyraftError', () => {
    fc.assert(
      fc.property(arbitrary.kind, fc.uint8Array({ maxLength: 80 }), (kind, bytes) => {
        expectOnlyPolyraftError(() => decodeRequest(kind, Buffer.from(bytes), arbitrary.noSink, 0))
      }),
      { numRuns: 2000 },
    )
  })
})

describe('responses', () => {
  const kindAndResponse = arbitrary.kind.chain((kind) =>
    fc.tuple(fc.constant(kind), arbitrary.response(kind)),
  )

  it('come back', () => {
    fc.assert(
      fc.property(kindAndResponse, ([kind, response]) => {
        expect(decodeResponse(kind, encodeResponse(kind, response))).toEqual(response)
      }),
      { numRuns: 500 },
    )
  })

  it('have the bytes that reflection writes', () => {
    fc.assert(
      fc.property(kindAndResponse, ([kind, response]) => {
        const type = `${NAMES[kind]}Response`
        const bytes = encodeResponse(kind, response)
        expect(bytes.toString('hex')).toBe(encode(type, decode(type, bytes)).toString('hex'))
      }),
      { numRuns: 500 },
    )
  })

  it('tell an empty value from none', () => {
    const empty = { ...OK_RESPONSE, value: Buffer.alloc(0) }
    expect(encodeResponse(RawKind.Get, empty).length).toBe(0)
    expect(decode('RawGetResponse', encodeResponse(RawKind.Get, OK_RESPONSE))).toEqual({
      not_found: true,
    })
  })

  it('of scans and batch gets carry a plain failure as a region error', () => {
    const failed = { ...OK_RESPONSE, error: 'no' }
    for (const kind of [RawKind.Scan, RawKind.BatchGet]) {
      const bytes = encodeResponse(kind, failed)
      expect(decode(`${NAMES[kind]}Response`, bytes)).toEqual({ region_error: { message: 'no' } })
    }
    expect(decode('RawPutResponse', encodeResponse(RawKind.Put, failed))).toEqual({ error: 'no' })
  })

  it('with a region error of an unknown kind become a plain failure', () => {
    const flashback = { FlashbackInProgress: { region_id: 4 } }
    const of = (region_error: Fields): RawResponse =>
      decodeResponse(RawKind.Put, encode('RawPutResponse', { region_error }))
    expect(of({ message: 'region 4 is in flashback', ...flashback }).error).toBe(
      'region 4 is in flashback',
    )
    expect(of(flashback).error).toBe('region error of an unknown kind (field 17)')
    expect(of({}).error).not.toBe('')
  })

  it('of random bytes throw nothing but PolyraftError', () => {
    fc.assert(
      fc.property(arbitrary.kind, fc.uint8Array({ maxLength: 80 }), (kind, bytes) => {
        expectOnlyPolyraftError(() => decodeResponse(kind, Buffer.from(bytes)))
      }),
      { numRuns: 2000 },
    )
  })
})

describe('region errors', () => {
  const FIELDS: Record<RegionError['code'], string> = {
    NotLeader: 'not_leader',
    RegionNotFound: 'region_not_found',
    KeyNotInRegion: 'key_not_in_region',
    EpochNotMatch: 'epoch_not_match',
    ServerIsBusy: 'server_is_busy',
    StaleCommand: 'stale_command',
    StoreNotMatch: 'store_not_match',
    RaftEntryTooLarge: 'raft_entry_too_large',
    ReadIndexNotReady: 'read_index_not_ready',
    RegionNotInitialized: 'region_not_initialized',
    DiskFull: 'disk_full',
    RecoveryInProgress: 'RecoveryInProgress',
    MismatchPeerId: 'mismatch_peer_id',
    UndeterminedResult: 'undetermined_result',
  }

  it('are in the field of their kind', () => {
    fc.assert(
      fc.property(arbitrary.regionError, (error) => {
        const bytes = encodeResponse(RawKind.Put, regionErrorResponse(error))
        const seen = decode('RawPutResponse', bytes).region_error as Fields
        expect(Object.keys(seen).sort()).toEqual(['message', FIELDS[error.code]].sort())
        expect(seen.message).toBe(error.message)
      }),
    )
  })

  it('give the Go client an estimate, so that a busy store is not a slow one', () => {
    const busy = { code: 'ServerIsBusy', message: 'm', reason: 'r', backoffMs: 0 } as const
    const bytes = encodeResponse(RawKind.Put, regionErrorResponse(busy))
    expect(decode('RawPutResponse', bytes)).toEqual({
      region_error: { message: 'm', server_is_busy: { reason: 'r', estimated_wait_ms: 1 } },
    })
  })

  it('name everything about a region', () => {
    const region = {
      id: 4,
      startKey: Buffer.from('a'),
      endKey: Buffer.from('b'),
      epoch: { confVer: 2, version: 3 },
      peers: [{ id: 5, storeId: 1, role: 1 as const }],
    }
    const error = { code: 'EpochNotMatch', message: 'm', currentRegions: [region] } as const
    const bytes = encodeResponse(RawKind.Get, regionErrorResponse(error))
    expect(decode('RawGetResponse', bytes)).toEqual({
      region_error: {
        message: 'm',
        epoch_not_match: {
          current_regions: [
            {
              id: 4,
              start_key: Buffer.from('a'),
              end_key: Buffer.from('b'),
              region_epoch: { conf_ver: 2, version: 3 },
              peers: [{ id: 5, store_id: 1, role: 1 }],
            },
          ],
        },
      },
    })
  })
})

/** Without empty messages and zeros, at any depth. */
function pruned(value: unknown): unknown {
  if (Buffer.isBuffer(value) || value === null || typeof value !== 'object') return value
  if (Array.isArray(value)) return value.map(pruned)
  const entries = Object.entries(value)
    .map(([name, of]) => [name, pruned(of)] as const)
    .filter(([, of]) => of !== 0 && of !== false && of !== '' && !isEmpty(of))
  return Object.fromEntries(entries)
}

function isEmpty(value: unknown): boolean {
  if (Buffer.isBuffer(value) || Array.isArray(value)) return value.length === 0
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0
}

function expectOnlyPolyraftError(run: () => unknown): void {
  try {
    run()
  } catch (error) {
    expect(error).toBeInstanceOf(PolyraftError)
    expect((error as PolyraftError).code).toBe('InvalidArgument')
  }
}
