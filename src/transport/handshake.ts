/**
 * The first frame each way of a link. The dialer says who it is and whom it means to reach, so that
 * a store that took over another's address, or belongs to another cluster, is never talked to.
 *
 *   hello   := u32 magic (by what the link is for) | u16 version | u64 cluster id | u64 from store id | u64 to store id
 *   answer  := u32 magic | u16 version | u8 verdict | text reason
 *   verdict := 0 accepted | 1 wrong version | 2 wrong cluster | 3 wrong store
 *
 * After any verdict but 0 the acceptor closes the link.
 */
import { ByteReader, ByteWriter } from '../base/codec.ts'
import { PolyraftError } from '../base/errors.ts'
import { type ClusterId, NO_ID, type StoreId } from '../base/ids.ts'

/** "plyR" */
const MAGIC = 0x52796c70
/** "plyS": a hello for one snapshot instead of messages; all else is the same. */
const SNAPSHOT_MAGIC = 0x53796c70
export const TRANSPORT_VERSION = 2
/** No handshake payload is longer: whoever says so speaks something else. */
export const HANDSHAKE_BYTES_MAX = 1024

export interface Hello {
  readonly version: number
  readonly clusterId: ClusterId
  readonly fromStoreId: StoreId
  readonly toStoreId: StoreId
}

export const Verdict = { Accepted: 0, WrongVersion: 1, WrongCluster: 2, WrongStore: 3 } as const
export type Verdict = (typeof Verdict)[keyof typeof Verdict]

export interface Answer {
  readonly verdict: Verdict
  readonly reason: string
}

export function encodeHello(hello: Hello, forSnapshot = false): Buffer {
  return new ByteWriter(30)
    .u32(forSnapshot ? SNAPSHOT_MAGIC : MAGIC)
    .u16(hello.version)
    .u64(hello.clusterId)
    .u64(hello.fromStoreId)
    .u64(hello.toStoreId)
    .take()
}

export function isSnapshotHello(payload: Buffer): boolean {
  return payload.length >= 4 && payload.readUInt32LE(0) === SNAPSHOT_MAGIC
}

/** Fields behind a version that is not ours are not looked at. */
export function decodeHello(payload: Buffer): Hello {
  const reader = new ByteReader(payload, 'hello')
  if (isSnapshotHello(payload)) reader.u32()
  else mustHaveMagic(reader)
  const version = reader.u16()
  if (version !== TRANSPORT_VERSION) {
    return { version, clusterId: 0, fromStoreId: 0, toStoreId: 0 }
  }
  const clusterId = decodeId(reader)
  const fromStoreId = decodeId(reader)
  const toStoreId = decodeId(reader)
  mustBeAtEnd(reader)
  return { version, clusterId, fromStoreId, toStoreId }
}

export function encodeAnswer(answer: Answer): Buffer {
  return new ByteWriter(128)
    .u32(MAGIC)
    .u16(TRANSPORT_VERSION)
    .u8(answer.verdict)
    .text(answer.reason)
    .take()
}

export function decodeAnswer(payload: Buffer): Answer {
  const reader = new ByteReader(payload, 'answer to a hello')
  mustHaveMagic(reader)
  reader.u16()
  const verdict = reader.u8()
  if (verdict > Verdict.WrongStore) {
    throw new PolyraftError('Corruption', `answer to a hello with verdict ${verdict}`)
  }
  const reason = reader.text()
  mustBeAtEnd(reader)
  return { verdict: verdict as Verdict, reason }
}

/** What the store `own` answers to a hello. */
export function judgeHello(hello: Hello, ownClusterId: ClusterId, ownStoreId: StoreId): Answer {
  if (hello.version !== TRANSPORT_VERSION) {
    return {
      verdict: Verdict.WrongVersion,
      reason: `transport version ${hello.version} is not spoken here, ${TRANSPORT_VERSION} is`,
    }
  }
  if (hello.clusterId !== ownClusterId) {
    return {
      verdict: Verdict.WrongCluster,
      reason: `this store belongs to cluster ${ownClusterId}, not to ${hello.clusterId}`,
    }
  }
  const from = hello.fromStoreId
  if (hello.toStoreId !== ownStoreId || from === ownStoreId || from === NO_ID) {
    return {
      verdict: Verdict.WrongStore,
      reason: `this is store ${ownStoreId}, store ${from} asked for ${hello.toStoreId}`,
    }
  }
  return { verdict: Verdict.Accepted, reason: '' }
}

function mustHaveMagic(reader: ByteReader): void {
  const magic = reader.u32()
  if (magic !== MAGIC) {
    throw new PolyraftError('Corruption', `not a polyraft store: magic 0x${magic.toString(16)}`)
  }
}

/** The gateway refuses ids above 2^53-1 with a RangeError; on a wire that is corruption. */
function decodeId(reader: ByteReader): number {
  try {
    return reader.u64()
  } catch (error) {
    throw new PolyraftError('Corruption', 'hello with an id out of range', {}, { cause: error })
  }
}

function mustBeAtEnd(reader: ByteReader): void {
  if (reader.remaining !== 0) {
    throw new PolyraftError('Corruption', `handshake with ${reader.remaining} bytes too many`)
  }
}
