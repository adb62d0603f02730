import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PolyraftError } from '../../src/base/errors.ts'
import type { Message } from '../../src/raft/types.ts'
import { decodeEnvelopes, encodeFrame, envelopeBytes } from '../../src/transport/envelope-codec.ts'
import { FRAME_HEADER_BYTES } from '../../src/transport/frame.ts'
import type { RaftEnvelope } from '../../src/transport/port.ts'
import { append, envelope } from './fixtures.ts'

const id = fc.oneof(fc.nat(300), fc.maxSafeNat())
const bytes = fc.uint8Array({ maxLength: 400 }).map((data) => Buffer.from(data))
const ids = fc.array(id, { maxLength: 5 })
const peer = fc.record({ id, storeId: id, role: fc.constantFrom(0, 1, 2, 3) })
const entry = fc.record({ index: id, term: id, type: fc.constantFrom(0, 1, 2), data: bytes })
const snapshot = fc.record({
  metadata: fc.record({
    index: id,
    term: id,
    confState: fc.record({
      voters: ids,
      votersOutgoing: ids,
      learners: ids,
      learnersNext: ids,
      autoLeave: fc.boolean(),
    }),
  }),
  data: bytes,
})
const message = fc.record({
  type: fc.nat(19),
  to: id,
  from: id,
  term: id,
  logTerm: id,
  index: id,
  entries: fc.array(entry, { maxLength: 6 }),
  commit: id,
  commitTerm: id,
  snapshot: fc.option(snapshot, { nil: undefined }),
  reject: fc.boolean(),
  rejectHint: id,
  requestSnapshot: id,
  context: bytes,
}) as fc.Arbitrary<Message>
const plainEnvelope: fc.Arbitrary<RaftEnvelope> = fc.record({
  regionId: id,
  from: peer,
  to: peer,
  epoch: fc.record({ confVer: id, version: id }),
  message,
})
const anyEnvelope = fc.oneof(
  plainEnvelope,
  plainEnvelope.map((envelope) => ({ ...envelope, tombstone: true })),
  fc.tuple(plainEnvelope, fc.nat()).map(([envelope, hibernate]) => ({ ...envelope, hibernate })),
)

function payloadOf(envelopes: RaftEnvelope[]): Buffer {
  return encodeFrame(envelopes, 0, envelopes.length).subarray(FRAME_HEADER_BYTES)
}

test('every envelope comes out as it went in, and takes no more bytes than estimated', () => {
  fc.assert(
    fc.property(fc.array(anyEnvelope, { maxLength: 5 }), (envelopes) => {
      const payload = payloadOf(envelopes)
      expect(decodeEnvelopes(payload)).toEqual(envelopes)
      const estimate = envelopes.reduce((sum, each) => sum + envelopeBytes(each), 5)
      expect(payload.length).toBeLessThanOrEqual(estimate)
    }),
    { numRuns: 300 },
  )
})

test('encodes the part of a queue that it is told to', () => {
  const queue = [1, 2, 3, 4].map((index) => append(2, index, Buffer.from('x')))
  const decoded = decodeEnvelopes(encodeFrame(queue, 1, 3).subarray(FRAME_HEADER_BYTES))
  expect(decoded.map((each) => each.message.entries[0]!.index)).toEqual([2, 3])
})

test('data of entries is a view into the received payload', () => {
  const payload = Buffer.from(payloadOf([append(2, 1, Buffer.alloc(1000, 7))]))
  const [decoded] = decodeEnvelopes(payload)
  const { data } = decoded!.message.entries[0]!
  expect(data.buffer).toBe(payload.buffer)
  expect(data).toHaveLength(1000)
})

test('accepts plain Uint8Arrays and views', () => {
  const whole = new Uint8Array([1, 2, 3, 4, 5])
  const [decoded] = decodeEnvelopes(payloadOf([append(2, 1, whole.subarray(1, 4))]))
  expect(decoded!.message.entries[0]!.data).toEqual(Buffer.from([2, 3, 4]))
})

function decodesOrIsCorrupt(payload: Buffer): void {
  try {
    decodeEnvelopes(payload)
  } catch (error) {
    expect(error).toBeInstanceOf(PolyraftError)
    expect((error as PolyraftError).code).toBe('Corruption')
  }
}

test('arbitrary bytes are a batch or Corruption, nothing else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (junk) => decodesOrIsCorrupt(Buffer.from(junk))),
    { numRuns: 3000 },
  )
})

test('a batch with flipped bytes is a batch or Corruption, nothing else', () => {
  const flips = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 })
  fc.assert(
    fc.property(fc.array(anyEnvelope, { minLength: 1, maxLength: 3 }), flips, (batch, changes) => {
      const payload = Buffer.from(payloadOf(batch))
      for (const [at, value] of changes) payload[at % payload.length] = value
      decodesOrIsCorrupt(payload)
    }),
    { numRuns: 2000 },
  )
})

test.each([
  ['a map', Buffer.from([0x81, 0xa1, 0x61, 0x01])],
  ['deep nesting', Buffer.alloc(200_000, 0x91)],
  ['an array longer than its bytes', Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff, 0x01])],
  ['bytes longer than there are', Buffer.from([0x91, 0xc6, 0xff, 0xff, 0xff, 0xff, 0x01])],
  ['a record definition', Buffer.from([0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61, 0x01])],
  ['nothing', Buffer.alloc(0)],
  ['a u64 above 2^53', Buffer.from([0x91, 0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])],
  ['half an envelope', Buffer.from([0x93, 0x01, 0x02, 0x03])],
])('refuses %s', (_what, payload) => {
  expect(() => decodeEnvelopes(payload)).toThrow(PolyraftError)
})

test('refuses an unknown message type', () => {
  const hostile = envelope(2, { type: 20 as never })
  expect(() => decodeEnvelopes(payloadOf([hostile]))).toThrow(/a kind of at most 19/)
})
