/**
 * Envelopes as the payload of a frame: one flat msgpack array of integers and byte strings for the
 * whole batch. No maps and no nesting: nothing is looked up by name on either side, and entries'
 * data comes out as views into the received frame.
 *
 *   payload  := envelope*                                               (one msgpack array)
 *   envelope := region | peer from | peer to | conf_ver | version | message
 *   peer     := id | store | role
 *   message  := type | flags | to | from | term | log_term | index | commit | commit_term
 *               | reject_hint | request_snapshot | n | n × entry
 *               | context?  (flag 2) | snapshot?  (flag 4) | ask?  (flag 16)
 *   flags    := 1 reject, 2 has context, 4 has snapshot; of the envelope: 8 tombstone, 16 hibernate
 *   entry    := index | term | type | bin data
 *   snapshot := index | term | auto_leave | 4 × (n | n × peer id) | bin data
 *
 * INVARIANT: whatever decodes is well-formed: integers are safe and unsigned, numbered kinds are in
 * their range. Anything else is Corruption, from whatever it came.
 */
import { Packr, RESERVE_START_SPACE, Unpackr } from 'msgpackr'
import { asBuffer, EMPTY_BYTES } from '../base/bytes.ts'
import { errorMessage, PolyraftError } from '../base/errors.ts'
import {
  type ConfState,
  type Entry,
  EntryType,
  type Message,
  MessageType,
  type Snapshot,
} from '../raft/types.ts'
import { type Peer, PeerRole } from '../region/region.ts'
import { FRAME_HEADER_BYTES, sealFrame } from './frame.ts'
import type { RaftEnvelope } from './port.ts'

const REJECT = 1
const HAS_CONTEXT = 2
const HAS_SNAPSHOT = 4
const TOMBSTONE = 8
const HIBERNATE = 16
const FLAGS_MAX = REJECT | HAS_CONTEXT | HAS_SNAPSHOT | TOMBSTONE | HIBERNATE

/** Upper bounds of what an envelope and an entry take besides their bytes. */
const ENVELOPE_OVERHEAD_BYTES = 22 * 9
const ENTRY_OVERHEAD_BYTES = 24

const packr = new Packr({ useRecords: false })
const unpackr = new Unpackr({ useRecords: false, int64AsType: 'number' })

/** At least what the envelope takes in a frame. */
export function envelopeBytes(envelope: RaftEnvelope): number {
  const { entries, context, snapshot } = envelope.message
  let bytes = ENVELOPE_OVERHEAD_BYTES + context.length
  for (let i = 0; i < entries.length; i++) {
    bytes += ENTRY_OVERHEAD_BYTES + entries[i]!.data.length
  }
  if (snapshot !== undefined) bytes += snapshotBytes(snapshot)
  return bytes
}

function snapshotBytes(snapshot: Snapshot): number {
  const { voters, votersOutgoing, learners, learnersNext } = snapshot.metadata.confState
  const ids = voters.length + votersOutgoing.length + learners.length + learnersNext.length
  return 64 + ids * 9 + snapshot.data.length
}

type Value = number | Uint8Array

/** Reused by every call: encoding runs to its end before another begins. */
const scratch: Value[] = []

// @hot: once a round and store
export function encodeFrame(envelopes: readonly RaftEnvelope[], low: number, high: number): Buffer {
  scratch.length = 0
  for (let i = low; i < high; i++) pushEnvelope(scratch, envelopes[i]!)
  const frame = packr.pack(scratch, RESERVE_START_SPACE + FRAME_HEADER_BYTES)
  scratch.length = 0
  return sealFrame(frame)
}

function pushEnvelope(out: Value[], envelope: RaftEnvelope): void {
  const { from, to, epoch } = envelope
  out.push(envelope.regionId, from.id, from.storeId, from.role, to.id, to.storeId, to.role)
  out.push(epoch.confVer, epoch.version)
  let flags = envelope.tombstone === true ? TOMBSTONE : 0
  if (envelope.hibernate !== undefined) flags |= HIBERNATE
  pushMessage(out, envelope.message, flags)
  if (envelope.hibernate !== undefined) out.push(envelope.hibernate)
}

function pushMessage(out: Value[], message: Message, envelopeFlags: number): void {
  const { entries, context, snapshot } = message
  let flags = envelopeFlags
  if (message.reject) flags |= REJECT
  if (context.length > 0) flags |= HAS_CONTEXT
  if (snapshot !== undefined) flags |= HAS_SNAPSHOT
  out.push(message.type, flags, message.to, message.from, message.term, message.logTerm)
  out.push(message.index, message.commit, message.commitTerm, message.rejectHint)
  out.push(message.requestSnapshot, entries.length)
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i]!
    out.push(entry.index, entry.term, entry.type, asBuffer(entry.data))
  }
  if (context.length > 0) out.push(asBuffer(context))
  if (snapshot !== undefined) pushSnapshot(out, snapshot)
}

function pushSnapshot(out: Value[], snapshot: Snapshot): void {
  const { index, term, confState } = snapshot.metadata
  out.push(index, term, confState.autoLeave ? 1 : 0)
  pushIds(out, confState.voters)
  pushIds(out, confState.votersOutgoing)
  pushIds(out, confState.learners)
  pushIds(out, confState.learnersNext)
  out.push(asBuffer(snapshot.data))
}

function pushIds(out: Value[], ids: readonly number[]): void {
  out.push(ids.length)
  for (let i = 0; i < ids.length; i++) out.push(ids[i]!)
}

/** The inverse of encodeFrame, from the payload alone. Throws Corruption. */
export function decodeEnvelopes(payload: Buffer): RaftEnvelope[] {
  const cursor = new Cursor(unpackValues(payload))
  const envelopes: RaftEnvelope[] = []
  while (!cursor.done) envelopes.push(readEnvelope(cursor))
  return envelopes
}

function unpackValues(payload: Buffer): unknown[] {
  let values: unknown
  try {
    values = unpackr.unpack(payload)
  } catch (error) {
    throw new PolyraftError('Corruption', `not msgpack: ${errorMessage(error)}`)
  }
  if (!Array.isArray(values)) throw new PolyraftError('Corruption', 'a batch is not an array')
  return values
}

/** Takes values in order and vouches for their types. */
class Cursor {
  readonly #values: unknown[]
  #position = 0

  constructor(values: unknown[]) {
    this.#values = values
  }

  get done(): boolean {
    return this.#position === this.#values.length
  }

  int(): number {
    const value = this.#values[this.#position++]
    if (!Number.isSafeInteger(value) || (value as number) < 0) this.#fail('an unsigned integer')
    return value as number
  }

  /** An integer up to `max`: kinds, roles and flags. */
  kind(max: number): number {
    const value = this.int()
    if (value > max) this.#fail(`a kind of at most ${max}`)
    return value
  }

  bin(): Buffer {
    const value = this.#values[this.#position++]
    if (!(value instanceof Uint8Array)) this.#fail('bytes')
    return asBuffer(value as Uint8Array)
  }

  /** A count of things that take at least `width` values each. */
  count(width: number): number {
    const value = this.int()
    if (value * width > this.#values.length - this.#position) this.#fail('a count that fits')
    return value
  }

  #fail(wanted: string): never {
    throw new PolyraftError('Corruption', `value ${this.#position - 1} of a batch is not ${wanted}`)
  }
}

function readEnvelope(cursor: Cursor): RaftEnvelope {
  const regionId = cursor.int()
  const from = readPeer(cursor)
  const to = readPeer(cursor)
  const epoch = { confVer: cursor.int(), version: cursor.int() }
  const type = cursor.kind(MessageType.ForgetLeader) as MessageType
  const flags = cursor.kind(FLAGS_MAX)
  const message = readMessage(cursor, type, flags)
  const envelope = { regionId, from, to, epoch, message }
  if ((flags & HIBERNATE) !== 0) return { ...envelope, hibernate: cursor.int() }
  return (flags & TOMBSTONE) === 0 ? envelope : { ...envelope, tombstone: true }
}

function readPeer(cursor: Cursor): Peer {
  return {
    id: cursor.int(),
    storeId: cursor.int(),
    role: cursor.kind(PeerRole.DemotingVoter) as PeerRole,
  }
}

function readMessage(cursor: Cursor, type: MessageType, flags: number): Message {
  const message: Message = {
    type,
    to: cursor.int(),
    from: cursor.int(),
    term: cursor.int(),
    logTerm: cursor.int(),
    index: cursor.int(),
    entries: NO_ENTRIES,
    commit: cursor.int(),
    commitTerm: cursor.int(),
    snapshot: undefined,
    reject: (flags & REJECT) !== 0,
    rejectHint: cursor.int(),
    requestSnapshot: cursor.int(),
    context: EMPTY_BYTES,
  }
  const count = cursor.count(4)
  if (count > 0) message.entries = readEntries(cursor, count)
  if ((flags & HAS_CONTEXT) !== 0) message.context = cursor.bin()
  if ((flags & HAS_SNAPSHOT) !== 0) message.snapshot = readSnapshot(cursor)
  return message
}

const NO_ENTRIES: readonly Entry[] = Object.freeze([])

function readEntries(cursor: Cursor, count: number): Entry[] {
  const entries: Entry[] = new Array(count)
  for (let i = 0; i < count; i++) {
    entries[i] = {
      index: cursor.int(),
      term: cursor.int(),
      type: cursor.kind(EntryType.ConfChangeV2) as EntryType,
      data: cursor.bin(),
    }
  }
  return entries
}

function readSnapshot(cursor: Cursor): Snapshot {
  const index = cursor.int()
  const term = cursor.int()
  const autoLeave = cursor.kind(1) === 1
  const confState: ConfState = {
    voters: readIds(cursor),
    votersOutgoing: readIds(cursor),
    learners: readIds(cursor),
    learnersNext: readIds(cursor),
    autoLeave,
  }
  return { metadata: { index, term, confState }, data: cursor.bin() }
}

function readIds(cursor: Cursor): number[] {
  const ids: number[] = new Array(cursor.count(1))
  for (let i = 0; i < ids.length; i++) ids[i] = cursor.int()
  return ids
}
