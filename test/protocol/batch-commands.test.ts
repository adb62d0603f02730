import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PolyraftError } from '../../src/base/errors.ts'
import { ELEMENTS_MAX } from '../../src/base/limits.ts'
import {
  BatchAnswers,
  type BatchCommand,
  RejectedCommand,
  readBatchRequest,
  readBatchResponse,
  writeBatchIds,
  writeBatchRequestCommand,
  writeBatchResponseCommand,
  writeRejection,
} from '../../src/protocol/batch-commands.ts'
import { ProtoReader } from '../../src/protocol/proto-reader.ts'
import { ProtoWriter } from '../../src/protocol/proto-writer.ts'
import { OK_RESPONSE, RawKind, RawRequest } from '../../src/protocol/raw.ts'
import * as arbitrary from './arbitraries.ts'
import { decode, encode, type Fields } from './kvproto.ts'

function readRequests(bytes: Buffer): readonly BatchCommand[] {
  return readBatchRequest(new ProtoReader(bytes), arbitrary.noSink).commands
}

function rejection(command: RejectedCommand): Fields {
  const writer = new ProtoWriter()
  writeRejection(writer, command)
  writeBatchIds(writer, [command.token])
  return decode('BatchCommandsResponse', writer.takeCopy())
}

describe('batches of requests', () => {
  it('come back with their ids', () => {
    fc.assert(
      fc.property(fc.array(arbitrary.request, { maxLength: 10 }), (requests) => {
        const writer = new ProtoWriter(16)
        for (const request of requests) writeBatchRequestCommand(writer, request)
        writeBatchIds(
          writer,
          requests.map((request) => request.token),
        )
        expect(readRequests(writer.takeCopy())).toEqual(requests)
      }),
    )
  })

  it('of reflection are understood, packed ids or not', () => {
    const requests = [
      { RawPut: { context: { region_id: 2 }, key: Buffer.from('k'), value: Buffer.from('v') } },
      { RawGet: { key: Buffer.from('g') } },
    ]
    const bytes = encode('BatchCommandsRequest', {
      requests,
      request_ids: [7, 300],
      client_send_time_ns: '1798761600000000000',
    })
    const unpacked = Buffer.concat([
      encode('BatchCommandsRequest', { requests }),
      Buffer.from('100710ac02', 'hex'),
    ])
    for (const message of [bytes, unpacked]) {
      const [put, get] = readRequests(message) as [RawRequest, RawRequest]
      expect([put.kind, put.token, put.regionId]).toEqual([RawKind.Put, 7, 2])
      expect([put.key.toString(), put.value.toString()]).toEqual(['k', 'v'])
      expect([get.kind, get.token, get.key.toString()]).toEqual([RawKind.Get, 300, 'g'])
    }
  })

  it('keep going where one command is bad', () => {
    const malformedGet = Buffer.from('6a03120561', 'hex')
    const entry = Buffer.concat([Buffer.from([0x0a, malformedGet.length]), malformedGet])
    const good = encode('BatchCommandsRequest', {
      requests: [{ RawGet: { key: Buffer.from('g') } }],
    })
    const ids = encode('BatchCommandsRequest', { request_ids: [1, 2] })
    const [bad, get] = readRequests(Buffer.concat([entry, good, ids]))
    expect(bad).toBeInstanceOf(RejectedCommand)
    expect((bad as RejectedCommand).error).toMatch(/^malformed message at byte \d+: 5 bytes/)
    expect(bad!.token).toBe(1)
    expect(get).toBeInstanceOf(RawRequest)
    expect((get as RawRequest).key.toString()).toBe('g')
  })

  const unsupported = (what: string): string => `${what} is not supported by this server version`

  it('reject what is not supported, by its name or number', () => {
    const requests = [
      { RawDeleteRange: { start_key: Buffer.from('a') } },
      { Get: { version: 5 } },
      { Empty: { test_id: 77, delay_time: 5 } },
      {},
    ]
    const commands = readRequests(
      encode('BatchCommandsRequest', { requests, request_ids: [1, 2, 3, 4] }),
    )
    const answers = commands.map((command) => rejection(command as RejectedCommand))
    expect(answers).toEqual([
      {
        responses: [{ RawDeleteRange: { error: unsupported('RawDeleteRange') } }],
        request_ids: [1],
      },
      {
        responses: [{ Get: { region_error: { message: unsupported('command 1') } } }],
        request_ids: [2],
      },
      { responses: [{ Empty: { test_id: 77 } }], request_ids: [3] },
      { responses: [{}], request_ids: [4] },
    ])
  })

  it('answer a malformed command in its own response', () => {
    expect(rejection(new RejectedCommand(RawKind.Put, 'bad', 0)).responses).toEqual([
      { RawPut: { error: 'bad' } },
    ])
    expect(rejection(new RejectedCommand(RawKind.Scan, 'bad', 0)).responses).toEqual([
      { RawScan: { region_error: { message: 'bad' } } },
    ])
  })

  it('hold a bounded number of keys, all commands together; what is beyond is rejected', () => {
    const keys = Array.from({ length: ELEMENTS_MAX / 2 + 1 }, () => Buffer.from('k'))
    const requests = [{ RawBatchGet: { keys } }, { RawBatchDelete: { keys } }, { RawGet: {} }]
    const bytes = encode('BatchCommandsRequest', { requests, request_ids: [1, 2, 3] })
    const [first, second, third] = readRequests(bytes)
    expect(first).toBeInstanceOf(RawRequest)
    expect(second).toMatchObject({
      field: 18,
      error: expect.stringMatching(/^a message holds more/),
    })
    expect(third).toBeInstanceOf(RawRequest)
  })

  it('run nothing of a request that holds several commands', () => {
    const malformed = Buffer.from([0x6a, 1, 0xff])
    const request = Buffer.concat([Buffer.from([0x6a, 0]), Buffer.alloc(3 << 10, malformed)])
    const writer = new ProtoWriter()
    writer.bytesElement(10, request)
    writeBatchIds(writer, [7])
    expect(readRequests(writer.takeCopy())).toEqual([
      expect.objectContaining({ field: 13, error: 'the request holds several commands', token: 7 }),
    ])
  })

  it('need as many ids as commands', () => {
    const bytes = encode('BatchCommandsRequest', {
      requests: [{ RawGet: {} }],
      request_ids: [1, 2],
    })
    expect(() => readRequests(bytes)).toThrow('a batch of 1 commands has 2 ids')
  })

  it('of random bytes throw nothing but PolyraftError', () => {
    const piece = fc.uint8Array({ maxLength: 60 })
    const anyBytes = fc.oneof(piece, piece.map(asOneCommand))
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        const reader = new ProtoReader(Buffer.from(bytes))
        try {
          readBatchRequest(reader, arbitrary.noSink)
        } catch (error) {
          expect(error).toBeInstanceOf(PolyraftError)
        }
      }),
      { numRuns: 3000 },
    )
  })

  it('with one byte changed, or cut short, throw nothing but PolyraftError', () => {
    const damage = fc.record({ at: fc.nat(), to: fc.nat(255), keep: fc.nat(), cut: fc.boolean() })
    fc.assert(
      fc.property(fc.array(arbitrary.request, { maxLength: 3 }), damage, (requests, how) => {
        const writer = new ProtoWriter()
        for (const request of requests) writeBatchRequestCommand(writer, request)
        writeBatchIds(
          writer,
          requests.map((request) => request.token),
        )
        const bytes = writer.takeCopy()
        if (bytes.length > 0) bytes[how.at % bytes.length] = how.to
        const damaged = how.cut ? bytes.subarray(0, how.keep % (bytes.length + 1)) : bytes
        try {
          readBatchRequest(new ProtoReader(damaged), arbitrary.noSink)
        } catch (error) {
          expect(error).toBeInstanceOf(PolyraftError)
        }
      }),
      { numRuns: 2000 },
    )
  })

  it('of random bytes in a sound frame always pair commands and ids', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 60 }),
        fc.constantFrom(13, 15, 16, 19),
        (body, field) => {
          const inner = Buffer.concat([tagged(field, Buffer.from(body))])
          const ids = encode('BatchCommandsRequest', { request_ids: [5] })
          const commands = readRequests(Buffer.concat([tagged(1, inner), ids]))
          expect(commands.map((command) => command.token)).toEqual([5])
        },
      ),
      { numRuns: 2000 },
    )
  })
})

describe('batches of responses', () => {
  it('come back with kinds and ids', () => {
    const answer = arbitrary.kind.chain((kind) =>
      fc.tuple(fc.constant(kind), arbitrary.response(kind), fc.maxSafeNat()),
    )
    const answers = new BatchAnswers()
    fc.assert(
      fc.property(fc.array(answer, { maxLength: 10 }), (list) => {
        const writer = new ProtoWriter(16)
        for (const [kind, response] of list) writeBatchResponseCommand(writer, kind, response)
        const ids = list.map(([, , id]) => id)
        writeBatchIds(writer, ids)
        const bytes = writer.takeCopy()
        readBatchResponse(new ProtoReader(bytes), answers)
        expect(answers.kinds).toEqual(list.map(([kind]) => kind))
        expect(answers.responses).toEqual(list.map(([, response]) => response))
        expect(answers.ids).toEqual(ids)
        expect(encode('BatchCommandsResponse', decode('BatchCommandsResponse', bytes))).toEqual(
          bytes,
        )
      }),
    )
  })

  it('of a write that succeeded take four bytes', () => {
    const writer = new ProtoWriter()
    writeBatchResponseCommand(writer, RawKind.Put, OK_RESPONSE)
    expect(writer.takeCopy().toString('hex')).toBe('0a027a00')
  })

  it('of random bytes throw nothing but PolyraftError', () => {
    const answers = new BatchAnswers()
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        try {
          readBatchResponse(new ProtoReader(Buffer.from(bytes)), answers)
        } catch (error) {
          expect(error).toBeInstanceOf(PolyraftError)
        }
      }),
      { numRuns: 3000 },
    )
  })
})

function tagged(field: number, body: Buffer): Buffer {
  const writer = new ProtoWriter()
  writer.bytesElement(field * 8 + 2, body)
  return writer.takeCopy()
}

function asOneCommand(body: Uint8Array): Uint8Array {
  return tagged(1, Buffer.from(body))
}
