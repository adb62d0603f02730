/**
 * Admin commands: raft entries by which a region changes itself. Little-endian, behind the kind byte
 * that tells them from data (see command.ts):
 *
 *   admin command  u8 kind=2 | u8 admin kind | body
 *   compact log    u64 index | u64 term of the entry at index
 *
 * How one works is told in two files of its name: peer/admin (propose, on result) and apply/admin
 * (apply).
 */
import { ByteReader, ByteWriter } from '../base/codec.ts'
import { PolyraftError } from '../base/errors.ts'
import type { LogIndex, Term } from '../base/ids.ts'
import { CommandKind } from './command.ts'

export const AdminKind = { CompactLog: 1 } as const

export interface CompactLogCommand {
  readonly kind: typeof AdminKind.CompactLog
  /** The last entry that goes, and its term. */
  readonly index: LogIndex
  readonly term: Term
}

export type AdminCommand = CompactLogCommand

export function encodeAdminCommand(command: AdminCommand): Buffer {
  const { kind, index, term } = command
  return new ByteWriter(18).u8(CommandKind.Admin).u8(kind).u64(index).u64(term).take()
}

export function decodeAdminCommand(data: Buffer): AdminCommand {
  const reader = new ByteReader(data, 'admin command', 1)
  const kind = reader.u8()
  if (kind !== AdminKind.CompactLog) throw corrupt(`kind ${kind}`)
  const command: AdminCommand = { kind, index: reader.u64(), term: reader.u64() }
  if (reader.remaining !== 0) throw corrupt(`${reader.remaining} bytes behind its end`)
  return command
}

function corrupt(what: string): PolyraftError {
  return new PolyraftError('Corruption', `admin command: ${what}`)
}
