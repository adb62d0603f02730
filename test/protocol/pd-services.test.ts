/** The services of the placement driver against TiKV's: paths, and every field of every message. */
import { readFileSync } from 'node:fs'
import type { MethodDefinition } from '@grpc/grpc-js'
import protobuf from 'protobufjs'
import { describe, expect, test } from 'vitest'
import { ChangePeerType, StoreState } from '../../src/pd/port.ts'
import { OperatorStatus, PdErrorType } from '../../src/protocol/pd-messages.ts'
import { metaStorageMethods, pdMethods } from '../../src/protocol/pd-services.ts'
import { ChangeType } from '../../src/region/change-peers.ts'
import { PeerRole } from '../../src/region/region.ts'
import { encode, FIELDS, fieldsOf, RPCS, sampleOf, valuesOf } from './pdproto.ts'

type Method = MethodDefinition<object, object>

const METHODS = new Map(
  [...Object.values(pdMethods), ...Object.values(metaStorageMethods)].map((method) => [
    method.path,
    method as unknown as Method,
  ]),
)

test('the methods are the judge’s', () => {
  expect([...METHODS.keys()].sort()).toEqual(RPCS.map(({ path }) => path).sort())
})

describe.each(RPCS)('$path', ({ path, requestStream, responseStream, request, response }) => {
  const method = METHODS.get(path)!

  test('streams where TiKV’s does', () => {
    expect(method).toMatchObject({ requestStream, responseStream })
  })

  test('asks in the bytes that TiKV’s programs read and write', () => {
    const message = sampleOf(request)
    const bytes = encode(request, message)
    expect(method.requestSerialize(message).toString('hex')).toBe(bytes.toString('hex'))
    expect(method.requestDeserialize(bytes)).toEqual(message)
  })

  test('answers in the bytes that TiKV’s programs read and write', () => {
    const message = sampleOf(response)
    const bytes = encode(response, message)
    expect(method.responseSerialize(message).toString('hex')).toBe(bytes.toString('hex'))
    expect(method.responseDeserialize(bytes)).toEqual(message)
  })
})

/** Of several methods, and told by what these send. */
const SHARED = ['.pdpb.HeaderRequest', '.pdpb.HeaderResponse']

test('no field is left to itself', () => {
  const root = new protobuf.Root()
  for (const file of ['metapb', 'pdpb', 'meta_storagepb']) {
    const url = new URL(`../../src/protocol/proto/${file}.proto`, import.meta.url)
    protobuf.parse(readFileSync(url, 'utf8'), root)
  }
  for (const [name, fields] of fieldsOf(root)) {
    if (!SHARED.includes(name)) expect([name, fields]).toEqual([name, FIELDS.get(name)])
  }
})

test.each([
  ['pdpb.ErrorType', PdErrorType],
  ['pdpb.OperatorStatus', OperatorStatus],
  ['pdpb.ConfChangeType', ChangePeerType],
  ['metapb.StoreState', StoreState],
  ['metapb.PeerRole', PeerRole],
])('%s has TiKV’s numbers', (name, ours) => {
  const plain = (text: string): string => text.replaceAll('_', '').toLowerCase()
  const values = Object.entries(valuesOf(name)).map(([key, value]) => [plain(key), value])
  const own = Object.entries(ours).map(([key, value]) => [plain(key), value])
  expect(values).toEqual(expect.arrayContaining(own))
})

test('the changes that a region knows are those of an order', () => {
  expect(ChangeType).toEqual({
    AddVoter: ChangePeerType.AddNode,
    Remove: ChangePeerType.RemoveNode,
    AddLearner: ChangePeerType.AddLearnerNode,
  })
})
