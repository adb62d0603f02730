/**
 * Admin commands: raft entries by which a region changes itself. Little-endian, behind the kind byte
 * that tells them from data (see command.ts):
 *
 *   admin command  u8 kind=2 | u8 admin kind | body
 *   compact log    u64 index | u64 term of the entry at index
 *   change peer    u64 conf_ver | u32 n | n × (u8 change type | u64 peer | u64 store)
 *
 * A change of peers travels as the context of raft's own membership change, in an entry of that
 * type, so that raft and apply act on one entry. One change is simple, several enter the joint state,
 * none leaves it.
 *
 * How one works is told in two files of its name: peer/admin (propose, on result) and apply/admin
 * (apply).
 */
import { unreachable } from '../base/assert.ts'
import { ByteReader, ByteWriter } from '../base/codec.ts'
import { PolyraftError } from '../base/errors.ts'
import type { LogIndex, Term } from '../base/ids.ts'
import { CHANGE_TYPE_MAX, type ChangeType, type PeerChange } from '../region/change-peers.ts'
import { CommandKind } from './command.ts'

export const AdminKind = { CompactLog: 1, ChangePeer: 2 } as const

export interface CompactLogCommand {
  readonly kind: typeof AdminKind.CompactLog
  /** The last entry that goes, and its term. */
  readonly index: LogIndex
  readonly term: Term
}

export interface ChangePeerCommand {
  readonly kind: typeof AdminKind.ChangePeer
  /** Of the region when it was proposed: apply refuses any other. */
  readonly confVer: number
  readonly changes: readonly PeerChange[]
}

export type AdminCommand = CompactLogCommand | ChangePeerCommand

export function encodeAdminCommand(command: AdminCommand): Buffer {
  const writer = new ByteWriter(32).u8(CommandKind.Admin).u8(command.kind)
  switch (command.kind) {
    case AdminKind.CompactLog:
      return writer.u64(command.index).u64(command.term).take()
    case AdminKind.ChangePeer:
      writer.u64(command.confVer).u32(command.changes.length)
      for (const { type, peerId, storeId } of command.changes) {
        writer.u8(type).u64(peerId).u64(storeId)
      }
      return writer.take()
    default:
      return unreachable(command)
  }
}

export function decodeAdminCommand(data: Buffer): AdminCommand {
  const reader = new ByteReader(data, 'admin command')
  if (reader.u8() !== CommandKind.Admin) throw corrupt(`command kind ${data[0]}`)
  const kind = reader.u8()
  const command = readBody(reader, kind)
  if (reader.remaining !== 0) throw corrupt(`${reader.remaining} bytes behind its end`)
  return command
}

/** The command in the context of a membership change. */
export function decodeChangePeer(context: Buffer): ChangePeerCommand {
  const command = decodeAdminCommand(context)
  if (command.kind !== AdminKind.ChangePeer) throw corrupt(`kind ${command.kind} changes no peer`)
  return command
}

function readBody(reader: ByteReader, kind: number): AdminCommand {
  switch (kind) {
    case AdminKind.CompactLog:
      return { kind, index: reader.u64(), term: reader.u64() }
    case AdminKind.ChangePeer:
      return { kind, confVer: reader.u64(), changes: readChanges(reader) }
    default:
      throw corrupt(`kind ${kind}`)
  }
}

function readChanges(reader: ByteReader): PeerChange[] {
  const changes: PeerChange[] = []
  for (let left = reader.u32(); left > 0; left--) {
    const type = reader.u8()
    if (type > CHANGE_TYPE_MAX) throw corrupt(`change type ${type}`)
    changes.push({ type: type as ChangeType, peerId: reader.u64(), storeId: reader.u64() })
  }
  return changes
}

function corrupt(what: string): PolyraftError {
  return new PolyraftError('Corruption', `admin command: ${what}`)
}
